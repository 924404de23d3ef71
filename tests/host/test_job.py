"""What `host stream` refuses before it looks for a board."""

import numpy as np
import pytest

from fieldtune.console import Console
from fieldtune.errors import NoDevice, UsageError
from fieldtune.runs import store
from fieldtune.stream import job


def unreachable():
    pytest.fail("a board was looked for")


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("FIELDTUNE_RUNS", str(tmp_path / "runs"))
    np.save(tmp_path / "x.npy", np.zeros((4, 64)))
    return str(tmp_path / "x.npy")


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"limit": 0},
        {"batch": 0},
        {"batch": 257},
        {"rate": -0.001},
        {"rate": 64},
        {"rate": float("nan")},
        {"seed": -1},
        {"seed": 1 << 30},
    ],
)
def test_setting_out_of_range_is_a_usage_error(wrong):
    with pytest.raises(UsageError):
        job.Request("x.npy", "finetune", **wrong)


@pytest.mark.parametrize(
    "right",
    [
        {"epochs": 1, "limit": 1, "batch": 1, "rate": 0, "seed": 0},
        {"batch": 256, "rate": 63.99, "seed": (1 << 30) - 1},
    ],
)
def test_settings_at_their_limits_are_accepted(right):
    job.Request("x.npy", "finetune", **right)


def test_head_needs_labels(data):
    with pytest.raises(UsageError) as caught:
        job.run(job.Request(data, "head"), unreachable, Console())
    assert "has no labels" in caught.value.what
    assert "--label" in caught.value.do


def test_refused_request_leaves_no_run(data):
    with pytest.raises(UsageError):
        job.run(job.Request(data, "head"), unreachable, Console())
    assert store.list_runs() == []


def test_run_that_never_reached_a_board_is_none(data):
    def none():
        raise NoDevice("no board is present")

    with pytest.raises(NoDevice):
        job.run(job.Request(data, "finetune"), none, Console())
    assert store.list_runs() == []
