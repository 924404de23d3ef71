"""host push and host pull, on the emulated Pico."""

import json
import re

import numpy as np
import pytest

from fieldtune import boards
from fieldtune.model import example, file, planner
from fieldtune.model import graph as graphs


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The file of the example, not trained."""
    path = tmp_path_factory.mktemp("model") / "example.safetensors"
    file.write(example.digits(1), path)
    return path


def test_pushed_model_comes_back_as_it_was(pico, host, model, tmp_path):
    pushed = host("push", model, "--device", pico.device, "--json")
    assert pushed.returncode == 0, pushed.stderr
    facts = json.loads(pushed.stdout)
    assert (facts["board"], facts["bytes"]) == ("pico", model.stat().st_size)
    assert 0 < facts["ram_needed_bytes"] < facts["ram_bytes"]
    pulled = host("pull", tmp_path / "back.safetensors", "--device", pico.device, "--json")
    assert pulled.returncode == 0, pulled.stderr
    assert json.loads(pulled.stdout)["step"] == 0
    assert (tmp_path / "back.safetensors").read_bytes() == model.read_bytes()


def test_model_survives_a_reset(pico, host, model, mpremote, tmp_path):
    host("push", model, "--device", pico.device)
    mpremote(pico, "soft-reset")
    host("pull", tmp_path / "back.safetensors", "--device", pico.device)
    assert (tmp_path / "back.safetensors").read_bytes() == model.read_bytes()


def test_model_can_be_used_at_the_prompt(pico, host, model, mpremote):
    host("push", model, "--device", pico.device)
    code = "import fieldtune; m = fieldtune.load('model.safetensors'); print(m.graph.input_width)"
    assert mpremote(pico, "exec", code) == "64\n"


def test_file_that_is_no_model_is_refused_before_the_board_is_asked(host, tmp_path):
    (tmp_path / "x.safetensors").write_bytes(b"no model")
    done = host("push", tmp_path / "x.safetensors", "--device", "/nowhere")
    assert done.returncode == 2
    assert "is not a safetensors file" in done.stderr


def test_model_too_large_is_refused_with_both_numbers(pico, host, tmp_path):
    graph = graphs.from_json(
        {
            "format": 1,
            "name": "large",
            "input": {"width": 4096, "scale": example.PIXEL_SCALE},
            "nodes": [
                {"op": "dense", "name": "logits", "input": "input", "width": 64},
                {"op": "softmax", "name": "class", "input": "logits"},
            ],
            "tasks": {"evaluate": {"loss": "class", "train": []}},
        }
    )
    tensors = {
        name: np.full(shape, example.PIXEL_SCALE if holds == "scale" else 0, file.DTYPES[dtype])
        for name, (dtype, shape, holds) in graph.tensors().items()
    }
    path = tmp_path / "large.safetensors"
    file.write(file.Model(graph, tensors, planner.plan(graph, batch=1)), path)
    done = host("push", path, "--device", pico.device)
    assert done.returncode == 2
    found = re.search(r"needs (\d+) bytes of RAM, the board pico has (\d+)", done.stderr)
    assert int(found[1]) > 4096 * 64
    assert int(found[2]) == boards.load("pico").heap_bytes


def test_pull_leaves_an_old_file_alone_when_there_is_no_model(pico, host, mpremote, tmp_path):
    code = "import os\nfor name in os.listdir():\n if 'safetensors' in name: os.remove(name)"
    mpremote(pico, "exec", code)
    path = tmp_path / "old.safetensors"
    path.write_bytes(b"old")
    done = host("pull", path, "--device", pico.device)
    assert done.returncode == 7
    assert "there is no model on the board yet: host push sends one" in done.stderr
    assert path.read_bytes() == b"old"


def test_pull_into_a_folder_that_is_not_there_says_so(pico, host, model, tmp_path):
    host("push", model, "--device", pico.device)
    done = host("pull", tmp_path / "nowhere" / "x.safetensors", "--device", pico.device)
    assert done.returncode == 1
    assert "cannot be written" in done.stderr
