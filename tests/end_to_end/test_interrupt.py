"""What ends a stream on the emulated Pico: Ctrl-C, a board that vanishes, another program."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from fieldtune.emulate import registry
from fieldtune.model import example, file
from fieldtune.runs import store


@pytest.fixture
def runs(tmp_path, monkeypatch):
    folder = tmp_path / "runs"
    monkeypatch.setenv("FIELDTUNE_RUNS", str(folder))
    return folder


@pytest.fixture
def streaming(pico, runs, host, tmp_path):
    """`host stream` at work, many minutes from its end. Ends it, so that the board is free."""
    file.write(example.digits(1), tmp_path / "m.safetensors")
    assert host("push", tmp_path / "m.safetensors", "--device", pico.device).returncode == 0
    np.save(tmp_path / "x.npy", example.data(1).adapt_x)
    command = [sys.executable, "-m", "fieldtune", "stream", str(tmp_path / "x.npy")]
    command += ["--task", "finetune", "--epochs", "1000", "--json", "--device", str(pico.device)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        wait_for_records(runs, process, 2)
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


def wait_for_records(runs, process, count: int) -> None:
    """Until the board has sent that many metrics records."""
    deadline = time.monotonic() + 60
    while not (found := list(runs.glob("*/metrics.jsonl"))) or len(lines(found[0])) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)


def lines(path) -> list[str]:
    return path.read_text().splitlines()


def test_ctrl_c_stops_the_board_within_a_second_and_keeps_what_was_learned(
    streaming, pico, runs, host, mpremote
):
    known = len(store.load("last", runs).metrics())
    streaming.send_signal(signal.SIGINT)
    output, said = streaming.communicate(timeout=60)
    assert streaming.returncode == 130, said
    result = json.loads(output)
    run = store.load("last", runs)
    assert (run.info["exit"], run.info["result"]["stopped"]) == (130, True)
    # Records cover the board's own time without a gap.
    assert sum(each["us"] for each in run.metrics()[known:]) < 1_000_000
    assert 0 < result["samples_run"] <= result["samples_sent"]
    after = file.read(run.path / "after.safetensors")
    assert after.graph.step == run.metrics()[-1]["step"] > 0
    assert mpremote(pico, "exec", "print(6 * 7)") == "42\n"
    pulled = host("pull", run.path / "pulled", "--device", pico.device)
    assert pulled.returncode == 0, pulled.stderr
    assert file.read(run.path / "pulled").graph.step == after.graph.step


def test_board_that_vanishes_ends_the_stream_with_data_lost_and_the_run_is_kept(
    streaming, pico, runs
):
    os.kill(pico.pid, signal.SIGKILL)
    output, said = streaming.communicate(timeout=60)
    assert streaming.returncode == 8, said
    assert json.loads(output)["error"]["exit_code"] == 8
    assert "vanished" in said
    run = store.load("last", runs)
    assert (run.state, run.info["exit"]) == ("failed", 8)
    assert len(run.metrics()) >= 2
    assert (run.path / "before.safetensors").exists()


def test_board_that_vanished_and_came_back_still_has_its_model(pico, host, tmp_path):
    file.write(example.digits(1), tmp_path / "m.safetensors")
    host("push", tmp_path / "m.safetensors", "--device", pico.device)
    os.kill(pico.pid, signal.SIGKILL)
    while pico.alive:
        time.sleep(0.01)
    again = registry.start("pico")
    pulled = host("pull", tmp_path / "back", "--device", again.device)
    assert pulled.returncode == 0, pulled.stderr
    assert (tmp_path / "back").read_bytes() == (tmp_path / "m.safetensors").read_bytes()


def test_second_program_is_told_and_the_stream_goes_on(streaming, pico, runs, host, tmp_path):
    done = host("pull", tmp_path / "x.safetensors", "--device", pico.device)
    assert done.returncode == 1
    assert "another program uses" in done.stderr
    assert "close that program, or wait until it is done" in done.stderr
    wait_for_records(runs, streaming, len(store.load("last", runs).metrics()) + 1)
