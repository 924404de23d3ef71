"""Training at its limits: whatever it is fed, what it leaves is a valid model."""

import numpy as np
import pytest

from fieldtune.model import example, file, quantize

STEPS = 300  # of 16 samples


def images(kind: str) -> np.ndarray:
    """int8 [n, 64] samples that hold little or too much."""
    random = np.random.default_rng(1)
    shape = (16 * 20, 64)
    return {
        "digits": lambda: quantize.samples(
            example.data(1).adapt_x[: shape[0]], example.PIXEL_SCALE, signed=False
        ),
        "zeros": lambda: np.zeros(shape, np.int8),
        "constant": lambda: np.full(shape, 40, np.int8),
        "saturated": lambda: np.full(shape, 127, np.int8),
        "black and white": lambda: random.choice(np.array([0, 127], np.int8), shape),
        "noise": lambda: random.integers(0, 128, shape, np.int8),
        "out of range": lambda: random.integers(-128, 128, shape).astype(np.int8),
        "zeros, then saturated": lambda: (
            np.repeat(np.array([0, 127], np.int8), [shape[0] // 2, shape[0] // 2])[:, None]
            * np.ones(64, np.int8)
        ),
    }[kind]()


TRAIN = """
import fieldtune
m = fieldtune.load("m")
x = open("x", "rb").read()
y = bytes(i % 10 for i in range(len(x) // 64)) if {labelled} else None
losses = [m.partial_fit(x, y, rate={rate}) for _ in range({passes})]
print(losses[0], losses[-1])
m.save("after")
"""


@pytest.fixture
def train(board, tmp_path):
    """train(kind, rate) -> (first loss, last loss, the model before, the model after)."""

    def run(kind: str, rate: float, labelled: bool = False):
        x = images(kind)
        before = example.digits(1)
        (tmp_path / "m").write_bytes(file.to_bytes(before))
        (tmp_path / "x").write_bytes(x.tobytes())
        passes = STEPS * 16 // len(x)
        said = board(TRAIN.format(rate=rate, passes=passes, labelled=labelled))
        first, last = map(float, said.split())
        # Reading validates: no weight is -128, every scale is one.
        return first, last, before, file.read(tmp_path / "after")

    return run


KINDS = ["zeros", "constant", "saturated", "black and white", "noise", "zeros, then saturated"]


@pytest.mark.parametrize("rate", [0.001, 1, 63.999])
@pytest.mark.parametrize("kind", [*KINDS, "digits", "out of range"])
def test_any_samples_at_any_rate_leave_a_valid_model(kind, rate, train):
    _first, last, _before, after = train(kind, rate)
    assert after.graph.step == STEPS
    # Logits are int8 in sixteenths: a pixel costs at most 8 nats, plus what rounds.
    assert 0 <= last <= 64 * 8.5


@pytest.mark.parametrize("rate", [0.006, 63.999])
def test_head_at_any_rate_leaves_a_valid_model(rate, train):
    _first, last, _before, after = train("digits", rate, labelled=True)
    assert after.graph.step == STEPS
    assert 0 <= last


@pytest.mark.parametrize("pixel", [0, 40, 127])
def test_what_never_changes_is_learned(pixel, train):
    kind = {0: "zeros", 40: "constant", 127: "saturated"}[pixel]
    _first, last, _before, _after = train(kind, 0.01)
    p = pixel / 127
    entropy = -64 * sum(q * np.log(q) for q in (p, 1 - p) if q)  # no model can cost less
    # Noise in 64 logits of step 1/16 costs the rest; a coin a pixel would cost 44.
    assert entropy <= last < entropy + 2


def test_fresh_ranges_are_set_by_the_first_batches(train):
    *_losses, before, after = train("digits", 0.006)
    trained = {f"{name}.state" for name in after.graph.tasks["finetune"].train}
    assert not any(before.tensors[name].any() for name in trained)
    # Output, sums of two errors (3) where two nodes send one, power of the gradient; and for the
    # errors that are sent on, scaled and input errors (1, 2). encoder.hidden sends none.
    wanted = {"encoder.hidden.state": [0, 3, 4], "encoder.mu.state": [0, 1, 2, 4]}
    for name, places in wanted.items():
        assert np.flatnonzero(after.tensors[name]).tolist() == places
    for name in trained:
        assert after.tensors[name][4]  # the power of the gradient


def test_digits_are_learned_from_fresh_ranges(train):
    first, last, _before, _after = train("digits", 0.01)
    # A coin for each of 64 pixels costs 64 ln 2 = 44 nats; a mean image about 22.
    assert first > 22 > last


def test_rate_of_zero_changes_no_weight(train):
    *_losses, before, after = train("digits", 0)
    for node in after.graph.nodes:
        for kind in ("weight", "bias", "scale") if node.op == "dense" else ():
            name = f"{node.name}.{kind}"
            assert (after.tensors[name] == before.tensors[name]).all(), name


def test_batches_of_one_train_too(board, tmp_path):
    model = example.digits(1, batch=1)
    (tmp_path / "m").write_bytes(file.to_bytes(model))
    (tmp_path / "x").write_bytes(images("digits").tobytes())
    first, last = map(float, board(TRAIN.format(rate=0.002, passes=2, labelled=False)).split())
    assert last < first
    assert file.read(tmp_path / "after").graph.step == 2 * 320


DECAY = """
import fieldtune
m = fieldtune.load("m")
x = open("x", "rb").read(64)
t = m.trainer("finetune", rate={rate}, total={total}, seed=1)
"""


def test_rate_falls_linearly_to_a_twentieth(board, tmp_path):
    (tmp_path / "m").write_bytes(file.to_bytes(example.digits(1)))
    (tmp_path / "x").write_bytes(bytes(64))
    code = DECAY.format(rate=1 << 20, total=10)
    loop = """
for _ in range(12):
    t.feed(x)
    t.run()
    print((t._clock.rate & 0xFFFF) * 2.0 ** (t._clock.rate >> 16))
"""
    rates = [float(line) * 16 for line in board(code + loop).split()]
    wanted = [(269 - min(256, step * 256 // 10)) / 256 for step in range(12)]
    assert rates == pytest.approx(wanted, rel=1e-4)
    assert rates[-1] == pytest.approx(13 / 256, rel=1e-4)


def test_training_allocates_nothing_that_stays(board, tmp_path):
    """The heap after 200 steps is the heap after 50."""
    (tmp_path / "m").write_bytes(file.to_bytes(example.digits(1)))
    (tmp_path / "x").write_bytes(images("digits")[:1].tobytes())
    code = DECAY.format(rate=1 << 16, total=0)
    loop = """
import gc
def used(steps):
    for _ in range(steps):
        t.feed(x)
        t.run()
    gc.collect()
    return gc.mem_alloc()
before = used(50)
print(used(200) - before)
"""
    # The sums grow from small integers into long ones: two blocks of 32 bytes each, at most.
    assert int(board(code + loop)) <= 7 * 64
