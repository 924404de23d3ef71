"""Which graphs are accepted; every refusal names the node or task."""

import copy
from pathlib import Path

import pytest

from fieldtune.errors import UsageError
from fieldtune.model import example, graph, operators, scale

ROOT = Path(__file__).parents[2]


@pytest.fixture
def digits():
    return example.graph(seed=1).to_json()


def node(data, name):
    return next(each for each in data["nodes"] if each["name"] == name)


def refusal(data) -> str:
    with pytest.raises(UsageError) as caught:
        graph.from_json(data)
    return caught.value.what


def test_the_example_survives_json(digits):
    assert graph.from_json(copy.deepcopy(digits)).to_json() == digits


def test_widths_follow_from_the_graph():
    widths = example.graph(1).widths
    assert widths == {
        "input": 64, "encoder.hidden": 48, "encoder.mu": 10, "encoder.logvar": 10, "latent": 10,
        "decoder.hidden": 48, "decoder.logits": 64, "reconstruction": 64, "head.hidden": 32,
        "head.logits": 10, "class": 10,
    }  # fmt: skip


def test_tensors_follow_from_the_table():
    tensors = example.graph(1).tensors()
    assert tensors["decoder.hidden.weight"] == ("I8", (48, 10), "weight")
    assert tensors["decoder.hidden.scale"] == ("I32", (48,), "scale")
    assert tensors["decoder.hidden.bias"] == ("I32", (48,), "bias")
    assert tensors["decoder.hidden.state"] == ("I32", (5,), "state")
    assert tensors["latent.state"] == ("I32", (3,), "state")
    assert tensors["reconstruction.state"] == ("I32", (1,), "state")
    assert len(tensors) == 7 * 4 + 1 + 2  # seven dense nodes, a latent, two losses


def test_the_head_is_not_upstream_of_the_reconstruction():
    assert example.graph(1).upstream("reconstruction") == {
        "reconstruction", "decoder.logits", "decoder.hidden", "latent", "encoder.mu",
        "encoder.logvar", "encoder.hidden",
    }  # fmt: skip


def test_samples_of_a_bernoulli_are_not_negative(digits):
    assert not graph.from_json(digits).signed_input
    digits["nodes"] = [n for n in digits["nodes"] if n["name"] != "reconstruction"]
    del digits["tasks"]["finetune"]
    assert graph.from_json(digits).signed_input


DROP = object()
NODE_CHANGES = [
    # node, key, its new value, what the error says
    ("latent", "op", "conv2d", "node 'latent': unknown operator 'conv2d'"),
    ("latent", "op", [1], "node 'latent': unknown operator '[1]'"),
    ("latent", "beta", 0, "node 'latent': `beta` is a scale out of range"),
    ("latent", "mu", "encoder.logvar", "node 'latent' needs two nodes of one width"),
    ("encoder.mu", "rellu", 1, "node 'encoder.mu' has an unknown key 'rellu'"),
    ("encoder.mu", "width", DROP, "node 'encoder.mu' lacks `width`"),
    ("encoder.mu", "width", 11, "node 'latent' needs two nodes of one width"),
    ("encoder.mu", "input", "latent", "names 'latent', which no node before it"),
    ("encoder.mu", "input", "encoder.mu", "names 'encoder.mu', which no node before it"),
    ("encoder.mu", "input", 7, "names '7', which no node before it"),
    ("encoder.mu", "relu", 1, "reads 'encoder.mu', which is not a dense node without ReLU"),
    ("encoder.logvar", "name", "encoder.mu", "node 'encoder.mu': the name is taken"),
    ("encoder.logvar", "output_scale", DROP, "'encoder.logvar', whose output_scale is not 1/16"),
    ("encoder.hidden", "width", 0, "`width` is 0, not 1 to 4096"),
    ("encoder.hidden", "width", 4097, "`width` is 4097, not 1 to 4096"),
    ("encoder.hidden", "width", True, "`width` is not an integer"),
    ("encoder.hidden", "width", 48.0, "`width` is not an integer"),
    ("encoder.hidden", "relu", 2, "`relu` is 2, not 0 or 1"),
    ("encoder.hidden", "output_scale", 1, "`output_scale` is a scale out of range"),
    ("reconstruction", "target", "latent", "`target` is not 'input'"),
    ("decoder.logits", "width", 63, "'decoder.logits' is 63 wide, its target 64"),
    ("head.hidden", "input", "reconstruction", "is 'reconstruction', a loss, which has no output"),
    ("head.logits", "relu", 1, "'head.logits', which is not a dense node without ReLU"),
    ("decoder.logits", "output_scale", DROP, "'decoder.logits', whose output_scale is not 1/16"),
    ("decoder.logits", "output_scale", scale.encode(1 / 8), "whose output_scale is not 1/16"),
    ("head.logits", "width", 1, "node 'class': 1 classes"),
    ("head.logits", "width", 257, "node 'class': 257 classes"),
    ("class", "name", "input", "node 'input': the name is taken"),
    ("class", "name", "Class", "node 'Class': a name has 1 to 40 characters"),
    ("class", "name", "", "node '': a name has 1 to 40 characters"),
    ("class", "name", "a" * 41, "a name has 1 to 40 characters"),
    ("class", "name", "class\n", r"node 'class\n': a name has"),
    ("class", "name", "\x1b[31m", r"node '\x1b[31m': a name has"),
]


@pytest.mark.parametrize(("name", "key", "value", "expected"), NODE_CHANGES)
def test_a_wrong_node_is_refused(digits, name, key, value, expected):
    node(digits, name)[key] = value
    if value is DROP:
        del node(digits, name)[key]
    assert expected in refusal(digits)


HEAD = ["head.hidden", "head.logits"]
GRAPH_CHANGES = [
    ({"format": 2}, "format 2 of a model is not known"),
    ({"seed": -1}, "`seed` is not an integer"),
    ({"step": 1 << 31}, "`step` is not an integer"),
    ({"name": "x" * 81}, "the model's name"),
    ({"surplus": 1}, "the graph has an unknown key 'surplus'"),
    ({"input": {"width": 0, "scale": operators.LOGIT_SCALE}}, "the input's width"),
    ({"input": {"width": 64, "scale": 1}}, "the input's scale is out of range"),
    ({"nodes": []}, "0 nodes; a model has 1 to 64"),
    ({"nodes": {}}, "`nodes` is a list"),
    ({"tasks": {}}, "0 tasks; a model has 1 to 8"),
    ({"tasks": {"batch": {"loss": "class", "train": []}}}, "task 'batch'"),
    ({"tasks": {"head": {"loss": "latent", "train": HEAD}}}, "'latent' is not a loss"),
    ({"tasks": {"head": {"loss": "class", "train": [*HEAD, *HEAD]}}}, "trains a node twice"),
    (
        {"tasks": {"finetune": {"loss": "reconstruction", "train": HEAD}}},
        "trains 'head.hidden', on which its loss does not depend",
    ),
    (
        {"tasks": {"finetune": {"loss": "reconstruction", "train": ["latent"]}}},
        "trains 'latent', which has no weights",
    ),
]


@pytest.mark.parametrize(("change", "expected"), GRAPH_CHANGES)
def test_a_wrong_graph_is_refused(digits, change, expected):
    assert expected in refusal(digits | change)


def test_a_softmax_takes_logits_of_any_scale(digits):
    for fixed in ({}, {"output_scale": scale.encode(1 / 8)}):
        node(digits, "head.logits").update(fixed)
        graph.from_json(digits)


def three_readers(digits) -> dict:
    """A latent whose mu and logvar both read `n`, which a third node on the way to the loss reads
    too: that mu is made of it once more."""
    logits = {"output_scale": operators.LOGIT_SCALE}
    dense = dict(node(digits, "encoder.mu"))
    digits["nodes"][1:3] = [
        dict(dense, name="m1"),
        dict(dense, name="l1", **logits),
        dict(node(digits, "latent"), name="z1", mu="m1", logvar="l1"),
        dict(dense, name="encoder.mu", input="z1"),
        dict(dense, name="encoder.logvar", input="encoder.hidden", **logits),
    ]
    digits["tasks"] = {"vae": {"loss": "reconstruction", "train": ["encoder.hidden"]}}
    return digits


def test_a_board_adds_two_errors_and_no_more(digits):
    said = "task 'vae': 3 nodes send 'encoder.hidden' an error; a board adds two"
    assert refusal(three_readers(digits)) == said


def test_readers_that_send_no_error_do_not_count(digits):
    three_readers(digits)["tasks"]["vae"]["train"] = ["decoder.logits"]
    graph.from_json(digits)


def test_mu_and_logvar_hear_an_error_both_or_neither(digits):
    digits["tasks"] = {"vae": {"loss": "reconstruction", "train": ["encoder.mu"]}}
    assert refusal(digits) == "task 'vae' sends an error to only one of mu and logvar of 'latent'"


def test_65_nodes_are_too_many(digits):
    more = [dict(node(digits, "encoder.mu"), name=f"n{i}") for i in range(65)]
    digits["nodes"] = more
    digits["tasks"] = {}
    assert refusal(digits) == "65 nodes; a model has 1 to 64"


@pytest.mark.parametrize("data", [None, [], "graph", {}, {"format": 1}])
def test_what_is_no_graph_is_refused(data):
    refusal(data)


def test_the_documentation_shows_the_table_of_operators():
    assert operators.markdown() in (ROOT / "docs/model-file.md").read_text()


def test_the_documentation_states_the_state_of_every_operator():
    text = " ".join((ROOT / "docs/model-file.md").read_text().split())
    for operator in operators.OPERATORS.values():
        words = [f"{name}" if "power" in name else f"{name} range" for name in operator.state]
        assert ", ".join(words).replace(" error", "-error") in text or operator.loss
