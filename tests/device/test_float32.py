"""The float32 precision of device/fieldtune on the unix simulator, against float64."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from fieldtune.model import example, file, quantize, scale
from fieldtune.stream import pump

STEP = Path(__file__).with_name("float32_step.py")
BATCH, LATENT = 16, 10
DENSE = ["encoder.hidden", "encoder.mu", "encoder.logvar", "decoder.hidden", "decoder.logits"]
DENSE += ["head.hidden", "head.logits"]
RATE = 2.0**-7  # exact as a scale, so that steps can be divided by it again


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """The untrained example as a file, with biases, and 40 of its images with labels."""
    model = example.digits(1)
    random = np.random.default_rng(1)
    for name in DENSE:
        bias = random.integers(-20000, 20000, model.tensors[f"{name}.bias"].shape)
        model.tensors[f"{name}.bias"] = bias.astype(np.int32)
    path = tmp_path_factory.mktemp("digits") / "digits.safetensors"
    file.write(model, path)
    data = example.data(1)
    x = quantize.samples(data.source_x[:40], model.graph.input_scale, model.graph.signed_input)
    return model, path, x, data.source_y[:40]


def micro(micropython, script, *arguments):
    """What a script prints on the simulator."""
    command = [micropython, "-X", "heapsize=16m", *script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def run(micropython, digits, folder, task, count, labelled, rate=RATE):
    """(sums, noise [16, 10], tensors before, tensors after) of a task over `count` samples."""
    model, path, x, y = digits
    records = pump.records(x[:count], y[:count] if labelled else None)
    (folder / "samples").write_bytes(records.tobytes())
    steps = int(rate * (1 << pump.RATE_BITS))
    arguments = [path, folder / "samples", task, int(labelled), steps, folder / "out"]
    sums = json.loads(micro(micropython, [STEP], *arguments))
    data = np.frombuffer((folder / "out").read_bytes(), np.float32).astype(np.float64)
    noise, at = data[: BATCH * LATENT].reshape(BATCH, LATENT), BATCH * LATENT
    moments = []
    for _ in ("before", "after"):
        tensors = {}
        for name in DENSE:
            for key in (f"{name}.weight", f"{name}.bias", f"{name}.state"):
                shape = model.tensors[key].shape
                size = int(np.prod(shape))
                tensors[key] = data[at : at + size].reshape(shape).copy()
                at += size
        moments.append(tensors)
    assert at == len(data)
    return sums, noise, *moments


def losses(t, x, y, noise):
    """The example in float64: reconstruction, KL and class losses, summed, and the logits."""

    def dense(name, v):
        return v @ t[f"{name}.weight"].T + t[f"{name}.bias"]

    def relu(v):
        return np.maximum(v, 0)

    hidden = relu(dense("encoder.hidden", x))
    mu, logvar = dense("encoder.mu", hidden), dense("encoder.logvar", hidden)
    z = mu if noise is None else mu + np.exp(logvar / 2) * noise
    logits = dense("decoder.logits", relu(dense("decoder.hidden", z)))
    reconstruction = (np.logaddexp(0, logits) - x * logits).sum()
    kl = 0.5 * (np.exp(logvar) + mu**2 - 1 - logvar).sum()
    scores = dense("head.logits", relu(dense("head.hidden", mu)))
    right = scores[np.arange(len(y)), y]
    return reconstruction, kl, (np.logaddexp.reduce(scores, axis=1) - right).sum(), scores


def pixels(model, x):
    return x * scale.decode(model.graph.input_scale)


def test_weights_are_dequantized_exactly(micropython, digits, tmp_path):
    model = digits[0]
    _, _, before, _ = run(micropython, digits, tmp_path, "evaluate", 1, True)
    for name in DENSE:
        weight, packed = model.tensors[f"{name}.weight"], model.tensors[f"{name}.scale"]
        # 8 bits times 16 bits fit the 24 of a float32.
        assert (before[f"{name}.weight"] == quantize.dequantize(weight, packed)).all()
        assert (before[f"{name}.bias"] == model.tensors[f"{name}.bias"] / 65536).all()


def test_evaluation_is_that_of_float64(micropython, digits, tmp_path):
    model, _, x, y = digits
    sums, _, tensors, _ = run(micropython, digits, tmp_path, "evaluate", 40, True)
    *expected, scores = losses(tensors, pixels(model, x), y, None)
    assert sums["samples"] == 40 and sums["steps"] == 3
    for name, nats in zip(["reconstruction", "kl", "class"], expected, strict=True):
        # Every batch is rounded down to 1/256; sums of 1024 terms are good to 1024 * 2^-24.
        assert sums[name] / 256 == pytest.approx(nats, rel=1e-4, abs=3 / 256)
    assert sums["correct"] == (scores.argmax(axis=1) == y).sum()


def sampled(random, shape, count):
    return [tuple(random.integers(0, n) for n in shape) for _ in range(count)]


@pytest.mark.parametrize("task", ["finetune", "head"])
def test_a_step_follows_the_gradient_of_the_whole_network(micropython, digits, tmp_path, task):
    model, _, x, y = digits
    x, y = pixels(model, x[:BATCH]), y[:BATCH]
    labelled = task == "head"
    _, noise, before, after = run(micropython, digits, tmp_path, task, BATCH, labelled)

    def loss():
        reconstruction, kl, class_loss, _ = losses(before, x, y, noise)
        return class_loss if labelled else reconstruction + pump.beta(model.graph) * kl

    random = np.random.default_rng(2)
    for name in model.graph.tasks[task].train:
        # The first batch measures the mean square of the gradient, then steps by rate / rms.
        rms = np.sqrt(after[f"{name}.state"][4])
        for key, count in ((f"{name}.weight", 15), (f"{name}.bias", 4)):
            for place in sampled(random, before[key].shape, count):
                here, step = before[key][place], 1e-6
                before[key][place] = here + step
                above = loss()
                before[key][place] = here - step
                gradient = (above - loss()) / (2 * step)
                before[key][place] = here
                taken = (here - after[key][place]) / RATE
                # A weight under 2 is rounded by 2^-24, which the rate makes 2^-17 of the rms;
                # the gradient itself is good to some 1e-5 of its terms.
                assert taken == pytest.approx(gradient / rms, abs=1e-4, rel=1e-4), (key, place)


def test_frozen_layers_stay_as_they_are(micropython, digits, tmp_path):
    _, _, before, after = run(micropython, digits, tmp_path, "head", 40, True)
    for key in before:
        trained = key.startswith("head")
        assert (before[key] == after[key]).all() != trained, key


def test_a_rate_of_zero_changes_nothing(micropython, digits, tmp_path):
    _, _, before, after = run(micropython, digits, tmp_path, "finetune", 40, False, rate=0)
    assert all((before[key] == after[key]).all() for key in before)


def test_the_same_seed_gives_the_same_bits(micropython, digits, tmp_path):
    run(micropython, digits, tmp_path, "finetune", 40, False)
    first = (tmp_path / "out").read_bytes()
    run(micropython, digits, tmp_path, "finetune", 40, False)
    assert (tmp_path / "out").read_bytes() == first


def test_training_goes_on_from_the_gradient_power_of_the_file(micropython, digits, tmp_path):
    model, _, x, y = digits
    power = scale.encode(0.3)
    known = example.digits(1)
    known.tensors["encoder.mu.state"][4] = power
    path = tmp_path / "known.safetensors"
    file.write(known, path)
    _, _, before, after = run(micropython, (model, path, x, y), tmp_path, "finetune", 16, False)
    assert before["encoder.mu.state"][4] == np.float32(scale.decode(power))
    assert after["encoder.mu.state"][4] not in (0, before["encoder.mu.state"][4])


PUBLIC = """
import fieldtune, os, sys
path, samples, saved = sys.argv[1:]
data = open(samples, "rb").read()
x = bytes(b for i, b in enumerate(data) if i % 65 < 64)
y = bytes(b for i, b in enumerate(data) if i % 65 == 64)
m = fieldtune.load(path, precision="float32")
first = m.reconstruction_error(x)
for _ in range(5):
    loss = m.partial_fit(x, rate=0.01)
assert 0 < loss < first, (loss, first)
assert m.reconstruction_error(x) < 0.9 * first, first
for _ in range(100):
    loss = m.partial_fit(x, y, rate=0.02)
classes = m.predict(x)
share = sum(a == b for a, b in zip(classes, y)) / len(y)
assert m.score(x, y) == share > 0.8, (m.score(x, y), share)
rows = [[b / 127 for b in x[at:at + 64]] for at in range(0, len(x), 64)]
assert m.predict(rows) == classes
try:
    m.save(saved)
except ValueError as error:
    print(error)
"""


def test_the_model_learns_and_answers_as_in_int8(micropython, digits, tmp_path):
    _, path, x, y = digits
    (tmp_path / "samples").write_bytes(pump.records(x, y).tobytes())
    saved = tmp_path / "saved"
    (tmp_path / "public.py").write_text(PUBLIC)
    script = [tmp_path / "public.py"]
    printed = micro(micropython, script, path, tmp_path / "samples", saved)
    assert printed == "only int8 models are saved\n"
    assert not list(tmp_path.glob("saved*"))


LOADING = """
import fieldtune, sys
try:
    fieldtune.load(sys.argv[1], precision="float16")
except ValueError as error:
    print(error)
from fieldtune.arena import Arena
plan = {"bytes": 12, "tensors": {"a": 4, "b": 12, "c": 2}}
print(len(Arena(plan).take("a", 8)), len(Arena(plan, 4).take("a", 8)))
for key, size in (("a", 9), ("b", 1), ("c", 1), ("d", 1)):
    try:
        Arena(plan, 4).take(key, size)
    except ValueError as error:
        print(error)
"""


def test_an_unknown_precision_and_a_plan_that_does_not_fit_are_refused(
    micropython, digits, tmp_path
):
    (tmp_path / "loading.py").write_text(LOADING)
    printed = micro(micropython, [tmp_path / "loading.py"], digits[1])
    assert printed.splitlines() == [
        "unknown precision: float16",
        "8 32",  # four bytes a number
        "plan: a",
        "plan: b",
        "plan: c",
        "plan: d",
    ]


def test_wrong_arguments_are_refused_by_name_and_nothing_is_written(micropython):
    lines = micro(micropython, [STEP.with_name("float32_doors.py")]).splitlines()
    assert len(lines) > 200
    assert [line for line in lines if not line.endswith(" ok")] == []
