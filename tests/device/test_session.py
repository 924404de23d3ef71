"""A session with the simulator: what the board answers, keeps and refuses."""

import hashlib
import json

import numpy as np
import pytest

from fieldtune.emulate import registry
from fieldtune.errors import DeviceRaised, FieldtuneError
from fieldtune.link.repl import Repl
from fieldtune.model import example, file, planner, quantize
from fieldtune.model import graph as graphs
from fieldtune.stream.session import CONTROL, FILE, SAMPLES, Session

START = {"rate": 1 << 16, "total": 0, "seed": 1, "labelled": 0, "every": 2}


@pytest.fixture(scope="module")
def simulator(micropython, tmp_path_factory):
    """The unix simulator behind its pty, with a state folder of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FIELDTUNE_STATE", str(tmp_path_factory.mktemp("state")))
        board = registry.start("unix", image=micropython)
        yield board
        registry.stop(board)


@pytest.fixture
def session(simulator):
    with Session(str(simulator.device)) as session:
        yield session


@pytest.fixture(scope="module")
def model() -> file.Model:
    return example.digits(1)


@pytest.fixture
def pushed(session, model):
    """A session with a board that holds the example, not adapted."""
    session.push(file.to_bytes(model))
    return session


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    images = example.data(1).adapt_x[:40]
    return quantize.samples(images, example.PIXEL_SCALE, signed=False)


def tensors_of(data: bytes) -> dict[str, np.ndarray]:
    return file.from_bytes(data, "pulled").tensors


def changed(data: bytes, **graph) -> bytes:
    """A model file whose graph says something else; the host's checks do not see it."""
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    text = json.loads(header["__metadata__"]["fieldtune"]) | graph
    header["__metadata__"]["fieldtune"] = json.dumps(text, separators=(",", ":"))
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    return len(head).to_bytes(8, "little") + head + data[end:]


# Files


def test_pushed_model_comes_back_byte_for_byte(session, model):
    data = file.to_bytes(model)
    assert session.push(data)["sha256"] == hashlib.sha256(data).hexdigest()
    assert session.pull() == data


def refused(session, data: bytes) -> str:
    """What the board says to a push."""
    with pytest.raises(DeviceRaised) as caught:
        session.push(data)
    assert "refused" in caught.value.what
    return f"{caught.value.what.split(': ')[1]}: {caught.value.why}"


def test_refused_push_leaves_the_old_model(pushed, model):
    data = file.to_bytes(model)
    plan = json.loads(json.dumps(model.plan))
    del plan["finetune"]["tensors"]["d:latent"]
    for wrong, said in (
        (b"\x89PNG" + data[4:], "ValueError: model file: not a safetensors file"),
        (data[:-100], "ValueError: model file: tensor offsets"),
        (changed(data, format=2), "ValueError: model file: format"),
        (changed(data, plan=plan), "ValueError: plan: d:latent"),
    ):
        assert refused(pushed, wrong) == said
        assert pushed.pull() == data


def test_refused_push_leaves_no_file_behind(simulator, model):
    with Session(str(simulator.device)) as session:
        session.push(file.to_bytes(model))
        refused(session, b"no model at all")
    with Repl(str(simulator.device)) as repl:
        assert repl.exec("import os; print(os.listdir())") == "['model.safetensors']\n"


def test_model_too_large_is_refused_with_both_numbers(pushed, model):
    plan = json.loads(json.dumps(model.plan))
    plan["finetune"]["bytes"] = 1 << 24
    said = refused(pushed, changed(file.to_bytes(model), plan=plan))
    assert said.startswith("MemoryError: the arena needs 16777216 bytes, ")
    assert said.endswith(" are free")


def test_file_damaged_on_the_way_is_refused(pushed, model):
    data = file.to_bytes(model)
    pushed.request({"do": "push", "bytes": len(data), "sha256": "0" * 64})
    for at in range(0, len(data), 1000):
        pushed.link.send(FILE, data[at : at + 1000])
    with pytest.raises(DeviceRaised) as caught:
        pushed._wait_for_reply()
    assert caught.value.why == "file damaged on the way"
    assert pushed.pull() == data


def test_second_push_in_the_middle_of_one_replaces_it(pushed, model):
    pushed.request({"do": "push", "bytes": 5000, "sha256": ""})
    pushed.link.send(FILE, bytes(1000))
    data = file.to_bytes(example.digits(2))
    pushed.push(data)
    assert pushed.pull() == data


@pytest.mark.parametrize("size", [0, -1, 1 << 25, None, "10", 1.5])
def test_push_of_no_size_is_refused(size, pushed):
    with pytest.raises(DeviceRaised) as caught:
        pushed.request({"do": "push", "bytes": size, "sha256": ""})
    assert caught.value.why == "request: bytes"


def test_board_without_a_model_says_so(simulator, micropython):
    with Repl(str(simulator.device)) as repl:
        repl.exec("import os\nfor name in os.listdir(): os.remove(name)")
    with Session(str(simulator.device)) as session:
        for ask in (session.pull, lambda: session.start(task="finetune", **START)):
            with pytest.raises(DeviceRaised) as caught:
                ask()
            assert caught.value.why == "there is no model on the board yet: host push sends one"


# Requests


@pytest.mark.parametrize(
    "message",
    [{"do": "dance"}, {"do": None}, {"do": ["push"]}, {}],
)
def test_unknown_request_is_refused_and_the_session_goes_on(message, pushed):
    with pytest.raises(DeviceRaised):
        pushed.request(message)
    pushed.pull()


@pytest.mark.parametrize("text", [b"[1]\n", b"7\n", b"{\n", b"\xff\n", b"\n", b"[" * 900 + b"\n"])
def test_message_that_is_no_request_is_refused_and_the_session_goes_on(text, pushed):
    pushed.link.send(CONTROL, text)
    with pytest.raises(DeviceRaised):
        pushed._wait_for_reply()
    pushed.pull()


def test_message_without_an_end_is_refused_and_the_session_goes_on(pushed):
    for _ in range(9):
        pushed.link.send(CONTROL, b"x" * 1000)
    with pytest.raises(DeviceRaised) as caught:
        pushed._wait_for_reply()
    assert caught.value.why == "message too long"
    pushed.link.send(CONTROL, b"\n")  # the end of what was thrown away
    with pytest.raises(DeviceRaised):
        pushed._wait_for_reply()
    pushed.pull()


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("task", "dream", "the model has no task dream"),
        ("rate", -1, "request: rate"),
        ("rate", 1 << 30, "request: rate"),
        ("rate", 0.5, "request: rate"),
        ("total", None, "request: total"),
        ("seed", "1", "request: seed"),
        ("labelled", 2, "request: labelled"),
        ("every", 0, "request: every"),
        ("plan", {}, "model file: the plan's batch"),
        ("plan", [], "model file: the plan's batch"),
    ],
)
def test_start_with_a_wrong_setting_is_refused(setting, value, said, pushed):
    with pytest.raises(DeviceRaised) as caught:
        pushed.start(**{"task": "finetune", **START, setting: value})
    assert caught.value.why == said
    pushed.start(task="finetune", **START)


def test_head_is_not_trained_without_labels(pushed):
    with pytest.raises(DeviceRaised) as caught:
        pushed.start(task="head", **START)
    assert caught.value.why == "this task needs labels"


def test_finish_without_start_is_refused(pushed):
    with pytest.raises(DeviceRaised) as caught:
        pushed.finish()
    assert caught.value.why == "nothing was started"


# Tasks


def test_counts_and_metrics_add_up_with_a_last_batch_that_is_not_full(pushed, rows):
    records = []
    pushed.on_metrics = records.append
    assert pushed.start(task="finetune", **START)["step"] == 0
    for at in range(0, len(rows), 10):
        pushed.samples(rows[at : at + 10].tobytes())
    done = pushed.finish()
    assert (done["samples"], done["step"], done["stopped"]) == (40, 3, False)
    assert [(r["samples"], r["steps"], r["step"]) for r in records] == [(32, 2, 2), (8, 1, 3)]
    assert all(r["reconstruction"] > 0 and r["kl"] > 0 and r["class"] == 0 for r in records)


def test_adapted_model_is_what_is_pulled_and_its_hash_is_the_boards(pushed, model, rows):
    pushed.start(task="finetune", **START)
    pushed.samples(rows[:16].tobytes())
    done = pushed.finish()
    data = pushed.pull()
    assert (done["bytes"], done["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    assert (tensors_of(data)["encoder.mu.weight"] != model.tensors["encoder.mu.weight"]).any()
    assert file.from_bytes(data, "pulled").graph.step == 1


def test_push_takes_the_place_of_an_adapted_model(pushed, model, rows):
    pushed.start(task="finetune", **START)
    pushed.samples(rows[:16].tobytes())
    pushed.finish()
    pushed.push(file.to_bytes(model))
    assert pushed.pull() == file.to_bytes(model)


def test_task_started_anew_goes_on_from_the_adapted_model(pushed, rows):
    for step in (0, 1, 2):
        assert pushed.start(task="finetune", **START)["step"] == step
        pushed.samples(rows[:16].tobytes())
        pushed.finish()


def test_evaluation_leaves_the_model_alone(pushed, model, rows):
    pushed.start(task="evaluate", **START)
    pushed.samples(rows[:15].tobytes())
    assert "sha256" not in pushed.finish()
    assert pushed.pull() == file.to_bytes(model)


def test_evaluation_with_labels_counts_right_answers(pushed, rows):
    records = []
    pushed.on_metrics = records.append
    labelled = np.hstack([rows, np.zeros((len(rows), 1), np.int8)])
    pushed.start(task="evaluate", **{**START, "labelled": 1})
    pushed.samples(labelled[:15].tobytes())
    pushed.finish()
    assert records[0]["class"] > 0 and 0 <= records[0]["correct"] <= 15


def test_samples_longer_than_a_frame_span_frames(session):
    graph = graphs.from_json(
        {
            "format": 1,
            "name": "wide",
            "input": {"width": 2500, "scale": example.PIXEL_SCALE},
            "nodes": [
                {"op": "dense", "name": "logits", "input": "input", "width": 2},
                {"op": "softmax", "name": "class", "input": "logits"},
            ],
            "tasks": {"head": {"loss": "class", "train": ["logits"]}},
        }
    )
    kinds = graph.tensors()
    tensors = {
        name: np.zeros(shape, file.DTYPES[kind]) for name, (kind, shape, _) in kinds.items()
    }
    tensors["logits.scale"][:] = example.PIXEL_SCALE
    session.push(file.to_bytes(file.Model(graph, tensors, planner.plan(graph, batch=4))))
    session.start(task="head", **{**START, "labelled": 1, "rate": 1 << 20})
    for label in (0, 1, 0, 1, 1):
        session.samples(bytes([100 * label]) * 2500 + bytes([label]))
    assert session.finish()["samples"] == 5
    weight = tensors_of(session.pull())["logits.weight"]
    assert (weight[1] > 0).all() and (weight[0] < 0).all()


def test_sample_of_the_wrong_width_ends_the_task_and_not_the_session(pushed, model):
    pushed.start(task="finetune", **START)
    with pytest.raises(DeviceRaised) as caught:
        pushed.samples(bytes(63))
        pushed.finish()
    assert caught.value.why == "a sample has 64 bytes"
    assert pushed.pull() == file.to_bytes(model)


def test_answer_that_an_error_overtook_is_not_taken_for_the_next_one(pushed):
    pushed.start(task="finetune", **START)
    pushed.link.send(SAMPLES, bytes(63))
    with pytest.raises(DeviceRaised):
        pushed.finish()  # meets the error about the samples; its own answer is still to come
    assert pushed.start(task="finetune", **START)["ok"] == "start"
    assert pushed.finish()["ok"] == "finish"


def test_label_that_is_no_class_ends_the_task_before_its_batch_is_trained(pushed, model, rows):
    labelled = np.hstack([rows[:16], np.full((16, 1), 10, np.int8)])
    pushed.start(task="head", **{**START, "labelled": 1})
    pushed.link.send(SAMPLES, labelled[:15].tobytes())
    pushed.link.send(SAMPLES, labelled[15:].tobytes())
    with pytest.raises(DeviceRaised) as caught:
        pushed.finish()
    assert caught.value.why == "wrong label"
    assert pushed.pull() == file.to_bytes(model)


def test_samples_after_a_stop_are_dropped_and_the_model_is_kept(pushed, rows):
    pushed.start(task="finetune", **START)
    pushed.samples(rows[:32].tobytes()[:1024])
    pushed.link.flush()
    pushed.link.stop()
    pushed.link.status()  # the board has obeyed by the time it answers this
    pushed.samples(rows[:16].tobytes())
    done = pushed.finish()
    assert (done["stopped"], done["samples"]) == (True, 16)
    assert file.from_bytes(pushed.pull(), "pulled").graph.step == 1


def test_start_after_a_stop_runs(pushed, rows):
    pushed.start(task="finetune", **START)
    pushed.link.stop()
    assert pushed.finish()["stopped"]
    pushed.start(task="finetune", **START)
    pushed.samples(rows[:16].tobytes())
    done = pushed.finish()
    assert (done["stopped"], done["samples"]) == (False, 16)


def test_same_training_gives_the_same_file(pushed, model, rows):
    files = []
    for _ in range(2):
        pushed.push(file.to_bytes(model))
        pushed.start(task="finetune", **START)
        pushed.samples(rows[:16].tobytes())
        pushed.finish()
        files.append(pushed.pull())
    assert files[0] == files[1]


# The port


def test_second_program_on_the_port_is_told_who_is_there(session, simulator):
    with pytest.raises(FieldtuneError) as caught:
        Session(str(simulator.device), timeout=1)
    assert caught.value.what == f"another program uses {simulator.device.resolve()}"
    session.pull()


def test_board_is_at_its_prompt_after_a_session(simulator):
    with Session(str(simulator.device)):
        pass
    with Repl(str(simulator.device)) as repl:
        assert repl.exec("print(6 * 7)") == "42\n"


def test_board_is_at_its_prompt_after_a_session_that_failed(simulator, model):
    with pytest.raises(ZeroDivisionError), Session(str(simulator.device)) as session:
        session.push(file.to_bytes(model))
        session.start(task="finetune", **START)
        raise ZeroDivisionError
    with Repl(str(simulator.device)) as repl:
        assert repl.exec("print(6 * 7)") == "42\n"
