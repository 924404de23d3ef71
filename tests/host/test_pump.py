"""Streaming against a played session: what is sent, how records are read, what stops it."""

import os
import signal

import numpy as np
import pytest

from fieldtune.errors import DataLost, DeviceRaised
from fieldtune.model import example
from fieldtune.stream import pump
from fieldtune.stream.interrupt import Interrupt, undisturbed

GRAPH = example.graph(1)
WIDTH = GRAPH.input_width


class PlayedLink:
    payload_max = 1024
    stopped = False

    def stop(self) -> None:
        self.stopped = True


class PlayedSession:
    """A board that runs all it is sent, less what it `loses`, and sends `metrics` at the end."""

    def __init__(self, metrics: list[dict] | None = None, loses: int = 0):
        self.link = PlayedLink()
        self.started: dict = {}
        self.sent: list[bytes] = []
        self.metrics, self.loses = metrics or [], loses
        self.record = WIDTH

    def start(self, **settings) -> dict:
        self.started = settings
        self.record = WIDTH + settings["labelled"]
        return {"ram_free_bytes": 1234}

    def samples(self, data: bytes) -> None:
        self.sent.append(data)

    def finish(self) -> dict:
        for record in self.metrics:
            self.on_metrics(record)
        done = sum(map(len, self.sent)) // self.record - self.loses
        return {"samples": done, "stopped": self.link.stopped}


def rows(count: int) -> np.ndarray:
    return np.arange(count * WIDTH).reshape(count, WIDTH).astype(np.int8)


def stream(session, blocks, total=None, **settings) -> pump.Outcome:
    how = pump.Settings(**{"task": "finetune", **settings})
    return pump.run(session, GRAPH, {"batch": how.batch}, how, blocks, total)


def raw(samples: int, **sums) -> dict:
    """A metrics record as a board sends it."""
    keys = ("reconstruction", "kl", "class", "correct", "cycles", "us", "wait_us", "step")
    return {"samples": samples, **dict.fromkeys(keys, 0), **sums}


# Sending


def test_samples_go_out_whole_as_many_as_fit_a_frame():
    session = PlayedSession()
    outcome = stream(session, [rows(20), rows(3)])
    assert [len(data) // WIDTH for data in session.sent] == [16, 4, 3]
    assert b"".join(session.sent) == rows(20).tobytes() + rows(3).tobytes()
    assert (outcome.sent, outcome.run, outcome.stopped) == (23, 23, False)
    assert outcome.ram_free_bytes == 1234


def test_label_follows_its_sample_as_an_unsigned_byte():
    record = pump.records(rows(2), np.array([7, 200]))
    assert record.dtype == np.int8
    assert record.shape == (2, WIDTH + 1)
    assert record[:, -1].view(np.uint8).tolist() == [7, 200]
    assert (record[:, :-1] == rows(2)).all()


def test_labelled_samples_fill_frames_with_their_labels():
    session = PlayedSession()
    stream(session, [pump.records(rows(16), np.zeros(16))], labelled=True)
    assert [len(data) for data in session.sent] == [15 * 65, 65]  # 15 * 65 <= 1024


def test_epochs_hold_every_row_once_each_in_an_order_the_seed_decides():
    first, second = pump.epochs(rows(50), 2, seed=3)
    again, _ = pump.epochs(rows(50), 2, seed=3)
    assert (first == again).all() and not (first == second).all()
    for epoch in (first, second):
        assert sorted(map(bytes, epoch)) == sorted(map(bytes, rows(50)))


@pytest.mark.parametrize(
    ("total", "decay", "steps"),
    [(1600, True, 100), (1601, True, 101), (1600, False, 0), (None, True, 0)],
)
def test_rate_falls_over_all_steps_where_their_number_is_known(total, decay, steps):
    session = PlayedSession()
    stream(session, [], total, batch=16, decay=decay)
    assert session.started["total"] == steps


def test_settings_reach_the_board_as_integers():
    session = PlayedSession()
    stream(session, [], rate=0.25, seed=9, labelled=True, task="head")
    assert session.started == {
        "task": "head",
        "plan": {"batch": 16},
        "rate": 1 << 22,  # 0.25 * 2^24
        "total": 0,
        "seed": 9,
        "labelled": 1,
        "every": 8,
    }


def test_samples_the_board_did_not_run_are_data_lost():
    with pytest.raises(DataLost) as caught:
        stream(PlayedSession(loses=1), [rows(20)])
    assert caught.value.what == "20 samples were sent, the board ran 19"


def test_error_of_the_board_ends_the_stream():
    session = PlayedSession()

    def fail(_data):
        raise DeviceRaised("the board refused: ValueError", "wrong label")

    session.samples = fail
    with pytest.raises(DeviceRaised):
        stream(session, [rows(20)])


# Records


def test_record_is_in_nats_a_sample_and_elbo_weighs_the_divergence():
    metrics = [raw(16, reconstruction=16 * 256 * 20, kl=16 * 256 * 5, step=1, cycles=9, us=8)]
    (record,) = stream(PlayedSession(metrics), [rows(16)]).records
    assert record["reconstruction"] == 20
    assert record["kl"] == 5
    assert record["elbo"] == pytest.approx(-(20 + example.BETA * 5), rel=1e-4)
    assert (record["samples"], record["count"], record["step"]) == (16, 16, 1)
    assert (record["cycles"], record["us"], record["wait_us"]) == (9, 8, 0)
    assert "loss" not in record


def test_record_of_the_head_has_loss_and_accuracy_and_no_elbo():
    metrics = [raw(10, **{"class": 10 * 128, "correct": 9})]
    session = PlayedSession(metrics)
    block = pump.records(rows(10), np.zeros(10))
    (record,) = stream(session, [block], task="head", labelled=True).records
    assert (record["loss"], record["accuracy"]) == (0.5, 0.9)
    assert "elbo" not in record


def test_samples_of_records_add_up():
    metrics = [raw(32), raw(8)]
    records = stream(PlayedSession(metrics), [rows(40)]).records
    assert [r["samples"] for r in records] == [32, 40]


def test_summary_weighs_records_by_their_samples():
    metrics = [raw(30, reconstruction=30 * 256 * 10), raw(10, reconstruction=10 * 256 * 30)]
    summary = stream(PlayedSession(metrics), [rows(40)]).summary()
    assert summary == {"elbo": -15, "elbo_first": -10, "elbo_last": -30}


def test_nothing_run_has_no_summary():
    assert stream(PlayedSession(), []).summary() == {}


# Ctrl-C


def ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_stops_the_board_and_keeps_what_was_done():
    session = PlayedSession([raw(16)])

    def blocks():
        yield rows(16)
        ctrl_c()
        yield rows(16)

    outcome = stream(session, blocks())
    assert session.link.stopped
    assert (outcome.sent, outcome.run, outcome.stopped) == (16, 16, True)
    assert len(outcome.records) == 1


def test_samples_a_stopped_board_dropped_are_no_loss():
    session = PlayedSession(loses=16)

    def blocks():
        yield rows(32)
        ctrl_c()

    outcome = stream(session, blocks())
    assert (outcome.sent, outcome.run) == (32, 16)


def test_ctrl_c_does_not_cut_a_frame_in_half():
    session = PlayedSession()
    finished = []

    def samples(data):
        ctrl_c()
        finished.append(data)

    session.samples = samples
    outcome = stream(session, [rows(16), rows(16)])
    assert len(finished) == 1 and outcome.sent == 16


def test_second_ctrl_c_is_a_keyboard_interrupt():
    with pytest.raises(KeyboardInterrupt), Interrupt() as interrupt:
        ctrl_c()
        assert interrupt.asked
        ctrl_c()


def test_what_was_there_for_ctrl_c_is_there_again():
    before = signal.getsignal(signal.SIGINT)
    with Interrupt():
        assert signal.getsignal(signal.SIGINT) != before
    assert signal.getsignal(signal.SIGINT) == before


def test_a_whole_task_that_is_stopped_is_an_interruption(monkeypatch):
    stopped = pump.Outcome(sent=1, run=1, stopped=True, ram_free_bytes=0, records=())
    monkeypatch.setattr(pump, "run", lambda *args, **kwargs: stopped)
    with pytest.raises(KeyboardInterrupt):
        pump.run_whole()


def test_what_is_undisturbed_ends_before_ctrl_c_does():
    done = []
    with pytest.raises(KeyboardInterrupt), undisturbed():
        os.kill(os.getpid(), signal.SIGINT)
        done.append("all of it")
    assert done == ["all of it"]
