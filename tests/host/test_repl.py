"""The wrapper of mpremote, against the real mpremote and the simulator's real prompt."""

import os
import time
from pathlib import Path

import pytest

from fieldtune.emulate import registry
from fieldtune.errors import DeviceRaised, FieldtuneError, NoDevice, TimedOut
from fieldtune.link.repl import Repl

SESSION = """
import sys
from fieldtune.link import Link
with Link(sys.stdin.buffer, sys.stdout.buffer, b'{"board": "unix"}') as link:
    while not link.closed:
        got = link.receive(50)
        if got:
            if got[0] == 9:
                raise ValueError("on purpose")
            link.send(got[0], got[1])
            link.release()
print("after the session")
"""


@pytest.fixture(scope="module")
def port(micropython, tmp_path_factory):
    """The port of a simulator of this module's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FIELDTUNE_STATE", str(tmp_path_factory.mktemp("state")))
        board = registry.start("unix", image=micropython)
        yield str(board.device)
        registry.stop(board)


@pytest.fixture
def repl(port):
    with Repl(port, timeout=5) as repl:
        yield repl


def test_exec_returns_what_was_printed(repl):
    assert repl.exec("print(6 * 7)\nprint('grün')") == "42\ngrün\n"


def test_output_can_be_had_as_it_comes(repl):
    pieces = []
    assert repl.exec("print('a'); print('b')", on_output=pieces.append) == ""
    assert b"".join(pieces) == b"a\r\nb\r\n"


def test_an_exception_on_the_board_comes_with_its_traceback(repl):
    with pytest.raises(DeviceRaised, match="ZeroDivisionError: divide by zero") as raised:
        repl.exec("1 / 0")
    assert raised.value.why.startswith("Traceback (most recent call last):\n")
    assert raised.value.exit_code == 7


def test_what_the_board_raises_is_escaped_for_terminals(repl):
    with pytest.raises(DeviceRaised) as raised:
        repl.exec("raise ValueError('\\x1b[2J')")
    assert "\x1b" not in raised.value.what + raised.value.why


def test_code_that_is_silent_too_long_times_out_and_the_prompt_comes_back(repl):
    with pytest.raises(TimedOut, match="did not come to an end"):
        repl.exec("while True: pass", timeout=0.5)
    repl.end_session()
    assert repl.exec("print(1)") == "1\n"


def test_code_that_prints_on_and_on_does_not_time_out(repl):
    code = "import time\nfor n in range(8):\n    time.sleep(0.2)\n    print(n, end='')"
    assert repl.exec(code, timeout=1) == "01234567"


def test_running_code_can_be_interrupted(repl):
    repl.exec_no_follow("while True: pass")
    repl.interrupt()
    with pytest.raises(DeviceRaised, match="KeyboardInterrupt"):
        repl.follow(timeout=2)


def test_state_lives_until_a_soft_reset(repl):
    repl.exec("x = 1")
    assert repl.exec("print(x)") == "1\n"
    repl.soft_reset()
    with pytest.raises(DeviceRaised, match="NameError"):
        repl.exec("print(x)")


def test_two_programs_cannot_have_one_port(port):
    with Repl(port, timeout=5):
        with pytest.raises(FieldtuneError, match="another program uses") as raised:
            Repl(port, timeout=5)
    assert raised.value.exit_code == 1


def test_a_port_that_is_not_there_is_no_device(tmp_path):
    with pytest.raises(NoDevice, match="there is no port"):
        Repl(str(tmp_path / "port"))


def test_a_port_without_a_prompt_times_out(capsys):
    silent, port = os.openpty()
    with pytest.raises(TimedOut, match="shows no prompt"):
        Repl(os.ttyname(port), timeout=0.5)
    assert capsys.readouterr().out == ""
    os.close(silent)
    os.close(port)


def test_a_session_begins_and_ends_at_the_prompt(repl):
    for _ in range(2):
        link = repl.start_session(SESSION)
        assert link.identity == {"board": "unix"}
        # every byte, Ctrl-C included
        link.send(1, bytes(range(256)))
        assert link.receive() == (1, bytes(range(256)))
        link.close()
        assert repl.end_session() == "after the session\n"
    assert repl.exec("print('prompt')") == "prompt\n"


def test_an_exception_in_a_session_is_told_and_leaves_the_prompt(repl):
    link = repl.start_session(SESSION)
    link.send(9, b"")
    with pytest.raises(DeviceRaised) as raised:
        link.receive()
    assert raised.value.why.endswith("ValueError: on purpose")
    repl.end_session()
    assert repl.exec("print('prompt')") == "prompt\n"


def test_code_that_opens_no_session_is_quoted(repl):
    with pytest.raises(DeviceRaised, match="the board opened no session") as raised:
        repl.start_session("import nothing_of_that_name")
    assert raised.value.why.endswith("ImportError: no module named 'nothing_of_that_name'")
    repl.end_session()
    assert repl.exec("print('prompt')") == "prompt\n"


def test_a_board_that_was_left_in_a_session_is_brought_back(port):
    with Repl(port, timeout=5) as repl:
        repl.start_session(SESSION).send(1, b"never fetched")
    start = time.monotonic()
    with Repl(port, timeout=5) as repl:
        assert repl.exec("print('prompt')") == "prompt\n"
    # far less than the 10 s after which the board gives up by itself
    assert time.monotonic() - start < 3


def test_mpremote_is_known_to_one_file_only():
    package = Path(__file__).parents[2] / "host" / "fieldtune"
    users = [p.name for p in package.rglob("*.py") if "import mpremote" in p.read_text()]
    users += [p.name for p in package.rglob("*.py") if "from mpremote" in p.read_text()]
    assert set(users) == {"repl.py"}
