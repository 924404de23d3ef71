"""Recorded runs: what is kept, who may read it, what an interruption leaves."""

import os
import stat
import subprocess
import sys

import numpy as np
import pytest

from fieldtune.errors import DataLost, FieldtuneError, UsageError
from fieldtune.runs import plot, store


@pytest.fixture
def root(tmp_path):
    return tmp_path / "runs"


def finished(root, task="finetune", **info) -> store.Run:
    run = store.Run.create(task, {"board": "pico", "seed": 1, **info}, root)
    for step in range(1, 4):
        run.metric({"step": step, "samples": 16 * step, "elbo": -30.0 + step})
    run.finish({"result": {"accuracy": 0.9}, "link": {"retransmitted": 0}})
    return run


def test_a_run_is_read_back(root):
    run = finished(root)
    back = store.load(run.id, root)
    assert back.info == run.info
    assert (back.info["task"], back.info["board"], back.info["exit"]) == ("finetune", "pico", 0)
    assert back.info["result"] == {"accuracy": 0.9}
    assert back.metrics()[2] == {"step": 3, "samples": 48, "elbo": -27.0}
    assert back.state == "done"


def test_a_run_is_its_owners_alone(root):
    before = os.umask(0)
    try:
        run = finished(root)
        run.keep("adapted.safetensors", b"model")
    finally:
        os.umask(before)
    assert stat.S_IMODE(run.path.stat().st_mode) == 0o700
    names = sorted(path.name for path in run.path.iterdir())
    assert names == ["adapted.safetensors", "metrics.jsonl", "run.json"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in run.path.iterdir()} == {0o600}


def test_runs_of_one_second_have_folders_of_their_own(root):
    runs = [finished(root) for _ in range(3)]
    assert len({run.id for run in runs}) == 3
    assert [run.id for run in store.list_runs(root)] == [run.id for run in runs]


def test_last_is_the_newest(root):
    finished(root, "head")
    newest = finished(root, "evaluate")
    assert store.load("last", root).id == newest.id


def test_a_run_is_found_by_its_folder(root):
    run = finished(root)
    assert store.load(run.path).id == run.id


def test_metrics_are_there_at_once_and_the_run_is_running(root):
    with store.Run.create("finetune", root=root) as run:
        run.metric({"elbo": np.float32(-1.5), "kl": float("nan"), "step": np.int64(7)})
        other = store.load(run.id, root)
        assert other.metrics() == [{"elbo": -1.5, "kl": None, "step": 7}]
        assert other.state == "running"
    assert store.load(run.id, root).state == "done"


def test_an_error_is_recorded_with_its_exit_code(root):
    with pytest.raises(DataLost):
        with store.Run.create("finetune", root=root) as run:
            run.metric({"step": 1})
            raise DataLost("the board went away")
    back = store.load("last", root)
    assert (back.state, back.info["exit"], back.info["error"]) == (
        "failed",
        8,
        "the board went away",
    )
    assert back.metrics() == [{"step": 1}]


def test_control_c_is_recorded(root):
    with pytest.raises(KeyboardInterrupt):
        with store.Run.create("finetune", root=root):
            raise KeyboardInterrupt
    assert store.load("last", root).info["exit"] == 130


def test_a_killed_run_is_interrupted_and_its_metrics_are_kept(root):
    script = (
        "import os, sys; from pathlib import Path; from fieldtune.runs import store;"
        "run = store.Run.create('finetune', root=Path(sys.argv[1])); run.metric({'step': 1});"
        'run._out.write(\'{"step": 2, "el\'); run._out.flush(); os.kill(os.getpid(), 9)'
    )
    assert subprocess.run([sys.executable, "-c", script, root]).returncode == -9
    run = store.load("last", root)
    assert run.state == "interrupted"
    assert run.metrics() == [{"step": 1}]  # the record that was cut off is left out


def test_a_damaged_record_is_named(root):
    run = finished(root)
    path = run.path / "metrics.jsonl"
    path.write_text('{"step": 1}\nnonsense\n')
    with pytest.raises(UsageError) as caught:
        run.metrics()
    assert caught.value.what.endswith("metrics.jsonl, line 2: not a record")


def test_other_folders_are_passed_over(root):
    run = finished(root)
    (root / "demo").mkdir()
    (root / "broken").mkdir()
    (root / "broken" / "run.json").write_text("{")
    assert [each.id for each in store.list_runs(root)] == [run.id]


@pytest.mark.parametrize("name", ["last", "none", "../none"])
def test_a_run_that_is_not_there_is_an_error(root, name):
    with pytest.raises(UsageError):
        store.load(name, root)


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FieldtuneError, match="cannot be written"):
        store.Run.create("finetune", root=tmp_path / "file")


RECORDS = [{"step": i, "samples": 16 * i, "elbo": float(i), "cycles": 9} for i in range(11)]


def test_curves_are_the_metrics_over_the_samples():
    axis, curves = plot.curves(RECORDS)
    assert axis == "samples"
    assert list(curves) == ["elbo"]
    assert curves["elbo"][:2] == [(0, 0.0), (16, 1.0)]


def test_what_is_no_number_is_left_out_of_a_curve():
    records = [{"loss": 1.0}, {"loss": None}, {"loss": "high"}, {"loss": True}, {"loss": 2}]
    assert plot.curves(records) == ("record", {"loss": [(0, 1.0), (4, 2)]})


def test_a_chart_in_ascii():
    assert plot.text(RECORDS, columns=27, rows=3, braille=False) == [
        "elbo",
        "        10 |           ****",
        "           |    *******",
        "         0 |****",
        "            0   160 samples",
        "",
    ]


def test_a_chart_in_braille_is_as_wide_as_the_terminal():
    lines = plot.text(RECORDS, columns=60, rows=6)
    assert max(map(len, lines)) == 60
    body = "".join(line[12:] for line in lines[1:7])
    assert all(c == " " or 0x2800 < ord(c) <= 0x28FF for c in body)
    assert lines[1][59] != " " and lines[6][12] != " "  # from the lower left to the upper right


def test_a_constant_or_single_value_is_drawn():
    assert any("*" in line for line in plot.text([{"loss": 1.0}], braille=False))
    assert plot.text([]) == ["no metric was recorded"]


def test_a_png_is_made():
    assert plot.png(RECORDS, "$run").startswith(b"\x89PNG\r\n")
    assert plot.png([], "empty").startswith(b"\x89PNG\r\n")
