"""build.workspace: nothing half-made is left, and a failure says what to do."""

import errno
import os
import subprocess
import sys

import pytest

from fieldtune.build.workspace import Lock, disk_errors, new_folder, run, scratch_folder
from fieldtune.console import Console
from fieldtune.errors import FieldtuneError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FIELDTUNE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def lock():
    with Lock("test", Console()) as held:
        yield held


def test_a_new_folder_appears_when_it_is_whole(tmp_path):
    with new_folder(tmp_path / "final") as folder:
        (folder / "file").write_text("content")
        assert not (tmp_path / "final").exists()
    assert (tmp_path / "final" / "file").read_text() == "content"
    assert os.listdir(tmp_path) == ["final"]


def test_a_new_folder_vanishes_when_it_is_interrupted(tmp_path):
    with pytest.raises(KeyboardInterrupt), new_folder(tmp_path / "final") as folder:
        (folder / "file").write_text("half")
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == []


def test_what_a_killed_run_left_is_not_taken_over(tmp_path):
    left = tmp_path / ".final.new"
    left.mkdir()
    (left / "half").write_text("")
    with new_folder(tmp_path / "final") as folder:
        (folder / "file").write_text("")
    assert os.listdir(tmp_path / "final") == ["file"]


def test_a_new_folder_replaces_the_old_one(tmp_path):
    (tmp_path / "final").mkdir()
    (tmp_path / "final" / "old").write_text("")
    with new_folder(tmp_path / "final") as folder:
        (folder / "new").write_text("")
    assert os.listdir(tmp_path / "final") == ["new"]


def test_a_scratch_folder_is_empty_and_does_not_stay(tmp_path):
    (tmp_path / "scratch").mkdir()
    (tmp_path / "scratch" / "left").write_text("")
    with scratch_folder(tmp_path / "scratch") as folder:
        assert os.listdir(folder) == []
    assert os.listdir(tmp_path) == []


def test_a_failed_command_shows_its_last_lines_and_its_log(tmp_path, lock):
    log = tmp_path / "log.txt"
    script = "print('a warning'); print('the \\x1b[31mreason'); raise SystemExit(3)"
    with pytest.raises(FieldtuneError) as failed:
        run([sys.executable, "-c", script], "compiling", log, lock, os.environ)
    assert failed.value.what == "compiling failed"
    assert failed.value.why.splitlines()[-2:] == ["a warning", "the \\x1b[31mreason"]
    assert failed.value.do == f"the whole output is in {log}"


def test_a_command_that_fills_the_disk_says_how_to_make_room(tmp_path, lock):
    script = "print('fatal: No space left on device'); raise SystemExit(1)"
    with pytest.raises(FieldtuneError) as failed:
        run([sys.executable, "-c", script], "compiling", tmp_path / "log", lock, os.environ)
    assert "make room" in failed.value.do and "FIELDTUNE_CACHE" in failed.value.do


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_full_disk_says_where_why_and_what_to_do(tmp_path, number):
    with pytest.raises(FieldtuneError) as failed, disk_errors(tmp_path):
        raise OSError(number, os.strerror(number))
    assert failed.value.what == f"cannot write below {tmp_path}"
    assert failed.value.why == os.strerror(number).lower()
    assert "FIELDTUNE_CACHE" in failed.value.do


def test_other_errors_of_the_system_stay_what_they_are(tmp_path):
    with pytest.raises(FileNotFoundError), disk_errors(tmp_path):
        open(tmp_path / "nothing")


HOLD = """
from fieldtune.build.workspace import Lock
from fieldtune.console import Console
with Lock("test", Console()):
    print("held", flush=True)
    input()
"""


def test_a_lock_waits_for_its_holder_and_says_so(capsys):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout.readline() == "held\n"

        class Releasing(Console):
            def info(self, line):
                super().info(line)
                holder.communicate("\n")

        with Lock("test", Releasing()):
            assert holder.returncode == 0
    finally:
        holder.kill()
        holder.wait()
    assert capsys.readouterr().out == "waiting for another fieldtune that is at work on test\n"


def test_a_command_keeps_the_lock_of_a_process_that_dies(cache):
    script = """
import os, sys, threading, time
from pathlib import Path
from fieldtune.build.workspace import Lock, run
from fieldtune.console import Console
with Lock("test", Console()) as lock:
    command = ["sh", "-c", "echo started > started; read line < pipe"]
    arguments = (command, "waiting", Path("log"), lock, os.environ, Path.cwd())
    threading.Thread(target=run, args=arguments, daemon=True).start()
    while not Path("started").exists():
        time.sleep(0.01)
    os._exit(0)
"""
    os.mkdir(cache)
    os.mkfifo(cache / "pipe")
    subprocess.run([sys.executable, "-c", script], cwd=cache, check=True)
    seen = []

    class Releasing(Console):
        def info(self, line):
            seen.append(line)
            (cache / "pipe").write_text("done\n")

    with Lock("test", Releasing()):
        assert seen == ["waiting for another fieldtune that is at work on test"]
