"""Inference in numpy equals inference by qnn, bit for bit, over whole models."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fieldtune.console import Console
from fieldtune.model import example, file, quantize, reference
from fieldtune.stream import train

SCRIPT = Path(__file__).with_name("qnn_outputs.py")


def board(micropython, folder, model, x):
    """The outputs of every node by name, the sums and the classes as a board computes them."""
    widths = model.graph.widths
    order = [node.name for node in model.graph.nodes if not node.operator.loss]
    batch = model.plan["batch"]
    offsets, end = {}, 0  # nothing shares memory, so that everything can be read afterwards
    sizes = {f"y:{name}": batch * widths[name] for name in ["input", *order]}
    sizes["scratch"] = 12 * max(widths.values())
    for key, size in sizes.items():
        offsets[key] = end
        end += -(-size // 4) * 4
    plan = {**model.plan, "evaluate": {"bytes": end, "tensors": offsets}}
    file.write(model, folder / "model.safetensors")
    (folder / "samples").write_bytes(x.tobytes())
    (folder / "plan.json").write_text(json.dumps([plan, order]))
    names = ("model.safetensors", "samples", "plan.json", "outputs")
    arguments = [micropython, SCRIPT, *(folder / name for name in names)]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    outputs = {name: [] for name in order}
    data = np.frombuffer((folder / "outputs").read_bytes(), np.int8)
    at = 0
    for start in range(0, len(x), batch):
        n = min(batch, len(x) - start)
        for name in order:
            outputs[name].append(data[at : at + n * widths[name]].reshape(n, widths[name]))
            at += n * widths[name]
    assert at == len(data)
    return {name: np.concatenate(parts) for name, parts in outputs.items()}, json.loads(
        done.stdout
    )


@pytest.fixture(scope="module")
def digits():
    """The trained example and 397 images it has not seen: no multiple of the batch."""
    data = example.data(1)
    model = train.example_digits(1, Console())
    graph = model.graph
    x = quantize.samples(data.held_out_x, graph.input_scale, graph.signed_input)
    return model, x, data.held_out_y


def test_a_trained_model(micropython, tmp_path, digits):
    model, x, labels = digits
    outputs, answer = board(micropython, tmp_path, model, x)
    expected = reference.forward(model, x)
    assert expected.keys() == outputs.keys()
    for name, found in outputs.items():
        assert np.array_equal(found, expected[name]), name
        assert np.abs(expected[name].astype(int)).max() > 20, name  # a test on zeros shows nothing
    assert reference.classes(model, x).tolist() == answer["classes"]
    assert (reference.classes(model, x) == labels).mean() > 0.9  # a trained model, indeed


def test_the_elbo_of_a_trained_model(micropython, tmp_path, digits):
    model, x, _ = digits
    _, answer = board(micropython, tmp_path, model, x)
    batch = model.plan["batch"]
    parts = [reference.elbo(model, x[at : at + batch]) for at in range(0, len(x), batch)]
    # A board drops a batch's sum below 1/256 nat, so that it stays a small integer.
    for name in ("reconstruction", "kl"):
        assert sum(int(getattr(part, name) * 256 // 1) for part in parts) == answer["sums"][name]
    whole = reference.elbo(model, x)
    assert whole.reconstruction == sum(part.reconstruction for part in parts)
    assert whole.kl == pytest.approx(sum(part.kl for part in parts), abs=len(parts) / 4096)


def test_ranges_that_are_not_known_are_measured_on_the_first_batch(micropython, tmp_path):
    model = example.digits(3)
    assert not any(model.tensors["encoder.hidden.state"])
    x = np.random.default_rng(1).integers(0, 128, (40, 64)).astype(np.int8)
    outputs, _ = board(micropython, tmp_path, model, x)
    expected = reference.forward(model, x)
    for name, found in outputs.items():
        assert np.array_equal(found, expected[name]), name


@pytest.mark.parametrize("seed", range(4))
def test_models_of_any_scale_and_bias(micropython, tmp_path, digits, seed):
    """Far from what training makes of them: saturated multipliers, biases and outputs."""
    random = np.random.default_rng(seed)
    tensors = {}
    for name, values in digits[0].tensors.items():
        if name.endswith("weight"):
            tensors[name] = random.integers(-127, 128, values.shape).astype(np.int8)
        elif name.endswith("bias"):
            reach = 2 ** random.integers(1, 31)
            tensors[name] = random.integers(-reach, reach, values.shape).astype(np.int32)
        else:
            exponents = random.integers(-40, 10, values.shape)
            mantissas = random.integers(32768, 65536, values.shape)
            tensors[name] = ((exponents << 16) | mantissas).astype(np.int32)
    model = replace(digits[0], tensors=tensors)
    x = random.integers(0, 128, (20, 64)).astype(np.int8)
    outputs, _ = board(micropython, tmp_path, model, x)
    expected = reference.forward(model, x)
    for name, found in outputs.items():
        assert np.array_equal(found, expected[name]), name


def test_samples_of_another_shape_are_refused(digits):
    for wrong in (np.zeros((2, 63), np.int8), np.zeros((2, 64)), np.zeros(64, np.int8)):
        with pytest.raises(ValueError, match=r"int8 \[n, 64\]"):
            reference.forward(digits[0], wrong)


def test_no_samples_have_no_outputs(digits):
    outputs = reference.forward(digits[0], np.zeros((0, 64), np.int8))
    assert outputs["decoder.logits"].shape == (0, 64)
