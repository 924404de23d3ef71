"""What goes where: results on stdout, the rest where it cannot spoil them."""

import json
import sys
from pathlib import Path

import numpy as np

from fieldtune.console import Console, plain, shown


def test_json_console_keeps_its_lines_off_stdout(capsys):
    console = Console(as_json=True)
    console.info("working")
    with console.progress(10, "send") as bar:
        bar.update(10)
    console.result({"sent": 10}, ["sent 10"])
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"sent": 10}
    assert captured.err.startswith("working\nsend: 100 % of 10 B\n")


def test_result_for_people_is_its_lines(capsys):
    Console().result({"sent": 10}, ["sent 10", "lost 0"])
    assert capsys.readouterr().out == "sent 10\nlost 0\n"


def test_progress_without_a_terminal_is_a_line_each_tenth(capsys):
    with Console().progress(100, "copy", unit="blocks") as bar:
        for _ in range(100):
            bar.update(1)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 10
    assert lines[0] == "copy:  10 % of 100 blocks"
    assert lines[-1] == "copy: 100 % of 100 blocks"


def test_progress_of_nothing_is_silent(capsys):
    with Console().progress(0, "copy"):
        pass
    assert capsys.readouterr().out == ""


def test_line_printed_during_a_bar_is_whole_and_ends_with_it(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    console = Console()
    with console.progress(2, "copy") as bar:
        bar.update(1)
        console.info("the board said hello")
    console.info("after")
    assert capsys.readouterr().out == "the board said hello\nafter\n"


def test_a_programs_own_output_is_not_touched(capfdbinary):
    Console().output(b"\x1b[1mbold\xff\r\n")
    assert capfdbinary.readouterr() == (b"\x1b[1mbold\xff\r\n", b"")
    Console(as_json=True).output(b"text")
    assert capfdbinary.readouterr() == (b"", b"text")


def test_json_has_only_what_json_has():
    data = {
        "count": np.int64(3),
        "rows": np.array([1.5, np.nan]),
        "loss": float("inf"),
        "path": Path("a/b"),
        7: (True, None),
    }
    assert plain(data) == {
        "count": 3,
        "rows": [1.5, None],
        "loss": None,
        "path": "a/b",
        "7": [True, None],
    }


def test_shown_text_keeps_its_lines_and_loses_its_power():
    assert shown("a\r\nb\x1b[31m\u202e") == "a\nb\\x1b[31m\\u202e"
