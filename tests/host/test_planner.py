"""The arena: no two live tensors overlap, and it is as small as can be."""

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldtune.errors import UsageError
from fieldtune.model import example, graph, planner, scale
from fieldtune.model.operators import LOGIT_SCALE
from fieldtune.model.planner import Lifetime

DIGITS = example.graph(1)

# The steps of the digits' task `finetune` and the tensors in use at each, written by hand from
# docs/model-file.md.
FORWARD = "y:input y:encoder.hidden y:encoder.mu y:encoder.logvar y:latent y:decoder.hidden"
ENCODED = "y:input y:encoder.hidden y:encoder.mu y:encoder.logvar"
PART_A, PART_B = "d:encoder.hidden<encoder.logvar", "d:encoder.hidden<encoder.mu"
FINETUNE = [
    *(" ".join(FORWARD.split()[:i]) for i in range(2, 7)),
    f"{FORWARD} y:decoder.logits",
    f"{FORWARD} y:decoder.logits d:decoder.logits",
    # decoder.logits sends its error, takes its step
    f"{FORWARD} d:decoder.logits e:decoder.logits d:decoder.hidden",
    f"{FORWARD} d:decoder.logits d:decoder.hidden",
    # decoder.hidden
    f"{ENCODED} y:latent d:decoder.hidden e:decoder.hidden d:latent",
    f"{ENCODED} y:latent d:decoder.hidden d:latent",
    # latent
    f"{ENCODED} d:latent d:encoder.mu d:encoder.logvar",
    # encoder.logvar
    f"y:input y:encoder.hidden d:encoder.mu d:encoder.logvar e:encoder.logvar {PART_A}",
    f"y:input y:encoder.hidden d:encoder.mu d:encoder.logvar {PART_A}",
    # encoder.mu
    f"y:input y:encoder.hidden d:encoder.mu e:encoder.mu {PART_A} {PART_B}",
    f"y:input y:encoder.hidden d:encoder.mu {PART_A} {PART_B}",
    # encoder.hidden sums, masked by its ReLU, takes its step
    f"y:input y:encoder.hidden {PART_A} {PART_B} d:encoder.hidden",
    "y:input d:encoder.hidden",
]
WIDTHS = {"input": 64, "hidden": 48, "mu": 10, "logvar": 10, "latent": 10, "logits": 64}


def size(key: str, batch: int) -> int:
    """Bytes of a digits' tensor, from the widths of the model alone."""
    if key == "scratch":
        return 8 * 64
    return -(-batch * WIDTHS[key.split("<")[0].split(":")[1].split(".")[-1]] // 4) * 4


@pytest.mark.parametrize("batch", [1, 3, 16, 100])
def test_finetuning_the_digits_takes_at_most_5_percent_more_than_its_fullest_step(batch):
    bound = max(sum(size(k, batch) for k in step.split()) for step in FINETUNE) + 8 * 64
    assert bound <= planner.plan(DIGITS, batch)["finetune"]["bytes"] <= 1.05 * bound


@pytest.mark.parametrize("batch", [1, 3, 16, 100])
def test_finetuning_the_digits_no_two_tensors_in_use_share_a_byte(batch):
    plan = planner.plan(DIGITS, batch)["finetune"]
    for step in FINETUNE:
        used = np.zeros(plan["bytes"], int)
        for key in ["scratch", *step.split()]:
            offset = plan["tensors"][key]
            assert offset % 4 == 0
            assert offset + size(key, batch) <= plan["bytes"]
            used[offset : offset + size(key, batch)] += 1
        assert used.max() == 1, step


def test_the_plan_holds_the_tensors_of_the_task_and_no_others():
    used = {key for step in FINETUNE for key in step.split()} | {"scratch"}
    assert set(planner.plan(DIGITS)["finetune"]["tensors"]) == used


def test_the_frozen_part_hears_no_error():
    keys = set(planner.plan(DIGITS)["head"]["tensors"])
    assert keys == {
        "scratch", "y:input", "y:encoder.hidden", "y:encoder.mu", "y:head.hidden", "y:head.logits",
        "d:head.logits", "e:head.logits", "d:head.hidden",
    }  # fmt: skip


def test_an_evaluation_runs_every_node_and_hears_no_error():
    keys = set(planner.plan(DIGITS)["evaluate"]["tensors"])
    losses = {"y:reconstruction", "y:class"}
    assert keys == {"scratch", *(f"y:{name}" for name in DIGITS.widths)} - losses


def test_an_evaluation_takes_the_fullest_step_and_no_more():
    # decoder.logits: input and mu are still to be read, decoder.hidden is being read.
    assert planner.plan(DIGITS)["evaluate"]["bytes"] == 8 * 64 + 16 * (64 + 10 + 48 + 64)


def test_a_batch_is_1_to_256():
    for batch in (0, 257, True, 1.0):
        with pytest.raises(UsageError):
            planner.plan(DIGITS, batch)


lifetimes = st.lists(
    st.tuples(st.integers(1, 60), st.integers(0, 12), st.integers(0, 12)), min_size=1, max_size=24
).map(
    lambda drawn: [
        Lifetime(str(i), 4 * units, min(a, b), max(a, b)) for i, (units, a, b) in enumerate(drawn)
    ]
)


@given(lifetimes)
def test_no_layout_lets_two_live_tensors_overlap(tensors):
    total, offsets = planner.layout(tensors)
    for time in range(13):
        used = np.zeros(total, int)
        for tensor in tensors:
            if tensor.first <= time <= tensor.last:
                used[offsets[tensor.key] : offsets[tensor.key] + tensor.size] += 1
        assert used.max(initial=0) <= 1
    assert total >= planner.lower_bound(tensors)


def chain(widths: list[int], branches: list[bool], trained: list[bool]) -> graph.Graph:
    """A classifier: dense nodes one after the other, some of them with a second consumer."""
    nodes, source, names = [], "input", []
    for i, width in enumerate(widths):
        name = f"n{i}"
        nodes.append({"op": "dense", "name": name, "input": source, "width": width, "relu": 1})
        names.append((name,))
        source = name
        if branches[i % len(branches)]:
            logits = {"output_scale": LOGIT_SCALE}
            nodes += [
                {"op": "dense", "name": f"mu{i}", "input": name, "width": 4},
                {"op": "dense", "name": f"logvar{i}", "input": name, "width": 4, **logits},
                {"op": "latent", "name": f"z{i}", "mu": f"mu{i}", "logvar": f"logvar{i}",
                 "beta": scale.encode(1)},
            ]  # fmt: skip
            names.append((f"mu{i}", f"logvar{i}"))  # trained both or neither
            source = f"z{i}"
    nodes.append({"op": "dense", "name": "logits", "input": source, "width": 3,
                  "output_scale": LOGIT_SCALE})  # fmt: skip
    nodes.append({"op": "softmax", "name": "class", "input": "logits"})
    train = ["logits"]
    for i, group in enumerate(names):
        train += group if trained[i % len(trained)] else ()
    return graph.from_json(
        {
            "format": 1,
            "name": "chain",
            "input": {"width": 5, "scale": LOGIT_SCALE},
            "nodes": nodes,
            "tasks": {"train": {"loss": "class", "train": train}},
        }
    )


@settings(deadline=None)
@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=5),
    st.lists(st.booleans(), min_size=1, max_size=5),
    st.lists(st.booleans(), min_size=1, max_size=7),
    st.integers(1, 33),
)
def test_every_step_reads_what_an_earlier_one_wrote(widths, branches, trained, batch):
    shape = chain(widths, branches, trained)
    task = shape.tasks["train"]
    written = {"y:input"}
    updated = 0
    for reads, writes in planner.steps(shape, task):
        assert reads <= written
        assert not writes & written  # nothing is written twice
        written |= writes
        updated += not writes and any(key.startswith("d:") for key in reads)
    assert updated == len(task.train)
    planner.check(shape, planner.plan(shape, batch))


def damaged(change) -> dict:
    plan = copy.deepcopy(planner.plan(DIGITS))
    change(plan)
    return plan


DAMAGES = {
    "overlap": (lambda p: p["head"]["tensors"].update({"d:head.hidden": 0}), "overlap"),
    "outside": (
        lambda p: p["head"]["tensors"].update({"d:head.hidden": p["head"]["bytes"]}),
        "d:head.hidden ends outside of the arena",
    ),
    "negative": (lambda p: p["head"]["tensors"].update({"scratch": -4}), "offset -4 of scratch"),
    "odd": (lambda p: p["head"]["tensors"].update({"scratch": 2}), "offset 2 of scratch"),
    "no number": (lambda p: p["head"]["tensors"].update({"scratch": "0"}), "offset 0 of scratch"),
    "too small": (lambda p: p["head"].update(bytes=1000), "ends outside of the arena"),
    "missing tensor": (lambda p: p["head"]["tensors"].pop("y:input"), "does not place"),
    "surplus tensor": (lambda p: p["head"]["tensors"].update({"y:x": 0}), "does not place"),
    "missing task": (lambda p: p.pop("head"), "not one of `batch` and every task"),
    "batch 0": (lambda p: p.update(batch=0), "the plan's batch"),
    "another batch": (lambda p: p.update(batch=64), "outside of the arena"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_plan_is_refused(damage):
    change, expected = DAMAGES[damage]
    with pytest.raises(UsageError) as caught:
        planner.check(DIGITS, damaged(change))
    assert expected in caught.value.what


def test_the_bytes_of_the_tensors_are_those_of_their_shapes():
    weights = 64 * 48 + 48 * 10 * 2 + 10 * 48 + 48 * 64 + 10 * 32 + 32 * 10
    outputs = 48 + 10 + 10 + 48 + 64 + 32 + 10
    states = 7 * 5 + 3 + 1 + 1
    assert planner.tensor_bytes(DIGITS) == weights + 4 * (2 * outputs + states)


def test_the_digits_fit_a_pico():
    assert planner.check_fits(DIGITS, planner.plan(DIGITS), "pico").fits


def test_a_model_too_large_is_told_with_both_numbers():
    data = DIGITS.to_json()
    next(n for n in data["nodes"] if n["name"] == "decoder.hidden")["width"] = 4096
    large = graph.from_json(data)
    plan = planner.plan(large)
    need = planner.ram(large, plan, "pico")
    assert need.needed == need.tensors + need.arena + need.runtime > need.heap
    with pytest.raises(UsageError) as caught:
        planner.check_fits(large, plan, "pico")
    assert f"needs {need.needed} bytes of RAM, the board pico has {need.heap}" in caught.value.what
