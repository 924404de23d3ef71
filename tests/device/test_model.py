"""A model at the board's prompt: fit, score, predict, save, and what is refused."""

import ast

import numpy as np
import pytest

from fieldtune.console import Console
from fieldtune.model import example, file, quantize
from fieldtune.stream import train

IMAGES = 50  # three batches of 16 and a part of one


@pytest.fixture(scope="module")
def trained():
    return train.example_digits(1, Console())


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    data = example.data(1)
    return data.held_out_x[:IMAGES], data.held_out_y[:IMAGES]


@pytest.fixture
def at_prompt(trained, digits, tmp_path):
    """Puts the model `m`, the images `x` (int8 rows) and their labels `y` at a prompt."""
    images, labels = digits
    rows = quantize.samples(images, trained.graph.input_scale, trained.graph.signed_input)
    (tmp_path / "model.safetensors").write_bytes(file.to_bytes(trained))
    (tmp_path / "x").write_bytes(rows.tobytes())
    (tmp_path / "y").write_bytes(labels.astype(np.uint8).tobytes())
    return """
import fieldtune
m = fieldtune.load("model.safetensors")
x, y = open("x", "rb").read(), open("y", "rb").read()
"""


def test_session_as_the_readme_shows_it(at_prompt, board, trained, tmp_path):
    said = board(
        at_prompt + "print(m.partial_fit(x), m.score(x, y))\nm.save('adapted.safetensors')"
    )
    loss, score = map(float, said.split())
    assert 5 < loss < 30  # nats for 64 pixels: trained ends near 14, a coin a pixel costs 44
    assert score > 0.9
    steps = file.read(tmp_path / "adapted.safetensors").graph.step - trained.graph.step
    assert steps == 4  # 50 images in batches of 16


def test_score_is_the_share_of_right_predictions(at_prompt, board, digits):
    said = board(at_prompt + "print(list(m.predict(x)), m.score(x, y))")
    predicted, score = ast.literal_eval(said.replace("] ", "], "))
    assert score == pytest.approx(np.mean(np.array(predicted) == digits[1]))


def test_rows_of_numbers_with_labels_count_as_the_same_bytes_do(at_prompt, board):
    rows = "[[v / 127 for v in x[i:i + 64]] for i in range(0, len(x), 64)]"
    said = board(at_prompt + f"print(m.score(x, y) == m.score({rows}, y))")
    assert said.strip() == "True"


def test_rows_of_numbers_need_a_label_each(at_prompt, board):
    said = board(
        at_prompt + "try:\n    m.score([[0.5] * 64] * 64, [1])\nexcept ValueError as e:\n    print(e)"
    )
    assert said.strip() == "labels are 64 integers of 0 to 9"


def test_prediction_does_not_depend_on_what_it_stands_beside(at_prompt, board):
    said = board(at_prompt + "print([m.predict(x[i:i + 64])[0] for i in range(0, len(x), 64)])")
    assert said == board(at_prompt + "print(list(m.predict(x)))")


def test_rows_of_numbers_are_the_same_as_their_bytes(at_prompt, board, digits, tmp_path):
    (tmp_path / "rows.py").write_text(f"rows = {digits[0].tolist()!r}\n")
    fit = "import rows\nprint(m.partial_fit({}))\nm.save('{}')\n"
    board(at_prompt + fit.format("rows.rows", "numbers"))
    board(at_prompt + fit.format("x", "bytes"))
    assert (tmp_path / "numbers").read_bytes() == (tmp_path / "bytes").read_bytes()


@pytest.mark.parametrize("kind", ["bytearray(x)", "memoryview(x)", "memoryview(bytearray(x))"])
def test_any_buffer_of_bytes_will_do(kind, at_prompt, board):
    assert board(at_prompt + f"print(m.predict({kind}) == m.predict(x))") == "True\n"


def test_labels_may_be_a_list(at_prompt, board):
    assert board(at_prompt + "print(m.score(x, list(y)) == m.score(x, y))") == "True\n"


def test_labels_train_the_head_and_nothing_else(at_prompt, board, trained, tmp_path):
    board(at_prompt + "print(m.partial_fit(x, y))\nm.save('fitted')")
    after = file.read(tmp_path / "fitted").tensors
    changed = {name for name in after if (after[name] != trained.tensors[name]).any()}
    assert changed and all(name.startswith(("head.", "class.")) for name in changed)


def test_scoring_changes_nothing(at_prompt, board, tmp_path):
    board(
        at_prompt
        + "m.save('before'); m.score(x, y); m.predict(x); m.reconstruction_error(x)\n"
        + "m.save('after')"
    )
    assert (tmp_path / "before").read_bytes() == (tmp_path / "after").read_bytes()


def test_reconstruction_error_is_larger_for_what_was_never_seen(at_prompt, board):
    noise = "bytes((37 * i * i) % 128 for i in range(64 * 20))"
    said = board(at_prompt + f"print(m.reconstruction_error(x) < m.reconstruction_error({noise}))")
    assert said == "True\n"


def test_same_training_gives_the_same_file(at_prompt, board, tmp_path):
    for name in ("one", "two"):
        board(at_prompt + f"m.partial_fit(x); m.partial_fit(x, y); m.save('{name}')")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_another_seed_gives_another_file(at_prompt, board, tmp_path):
    for seed in (1, 2):
        board(at_prompt + f"m.partial_fit(x, seed={seed}); m.save('{seed}')")
    assert (tmp_path / "1").read_bytes() != (tmp_path / "2").read_bytes()


def test_training_goes_on_from_a_saved_file_as_if_it_had_not_stopped(at_prompt, board, tmp_path):
    board(at_prompt + "m.partial_fit(x); m.partial_fit(x); m.save('at once')")
    board(at_prompt + "m.partial_fit(x); m.save('half')")
    board(at_prompt + "m = fieldtune.load('half'); m.partial_fit(x); m.save('resumed')")
    assert (tmp_path / "at once").read_bytes() == (tmp_path / "resumed").read_bytes()


REFUSED = {
    "nothing": ("m.partial_fit(b'')", "no samples"),
    "a part of a sample": ("m.partial_fit(x[:-1])", "a sample has 64 bytes"),
    "a row that is short": ("m.partial_fit([[0.0] * 64, [0.0] * 63])", "a sample has 64 values"),
    "NaN": ("m.partial_fit([[0.0] * 64, [0.0] * 63 + [nan]])", "NaN or infinity in a sample"),
    "infinity": ("m.predict([[0.0] * 63 + [-inf]])", "NaN or infinity in a sample"),
    "text": ("m.partial_fit(['a' * 64])", "samples are bytes, or rows of numbers"),
    "one row, not in a list": ("m.predict([0.0] * 64)", "samples are bytes, or rows of numbers"),
    "a number": ("m.partial_fit(5)", "samples are bytes, or rows of numbers"),
    "None": ("m.score(None, y)", "samples are bytes, or rows of numbers"),
    "a label too few": ("m.partial_fit(x, y[1:])", "labels are 50 integers of 0 to 9"),
    "a label too many": ("m.score(x, y + y)", "labels are 50 integers of 0 to 9"),
    "a label that is no class": (
        "m.partial_fit(x, y[1:] + b'\\n')",
        "labels are 50 integers of 0 to 9",
    ),
    "a negative label": ("m.score(x, [-1] * 50)", "labels are 50 integers of 0 to 9"),
    "a label of text": ("m.partial_fit(x, ['7'] * 50)", "labels are 50 integers of 0 to 9"),
    "a label with a fraction": (
        "m.partial_fit(x, [1.0] * 50)",
        "labels are 50 integers of 0 to 9",
    ),
    "a negative rate": ("m.partial_fit(x, rate=-0.1)", "a rate is 0 or more, and under 64"),
    "a rate of 64": ("m.partial_fit(x, rate=64)", "a rate is 0 or more, and under 64"),
    "a rate that is NaN": ("m.partial_fit(x, rate=nan)", "a rate is 0 or more, and under 64"),
    "a task nobody knows": ("m.trainer('dream')", "the model has no task dream"),
    "the head without labels": ("m.trainer('head')", "this task needs labels"),
    "a plan of nothing": ("m.trainer('finetune', {})", "model file: the plan's batch"),
    "a plan that lacks a tensor": (
        "m.description['plan']['finetune']['tensors'].pop('d:latent')\nm.partial_fit(x)",
        "plan: d:latent",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_wrong_arguments_are_refused_before_anything_is_trained(what, at_prompt, board, trained):
    call, text = REFUSED[what]
    said = board(f"""{at_prompt}
nan, inf = float("nan"), float("inf")
before = {{name: bytes(data) for name, data in m.tensors.items()}}
try:
{chr(10).join("    " + line for line in call.splitlines())}
except ValueError as error:
    print(error)
print(before == {{name: bytes(data) for name, data in m.tensors.items()}}, m.description["step"])
""")
    assert said.splitlines() == [text, f"True {trained.graph.step}"]


def test_samples_that_waited_when_ctrl_c_came_are_not_in_the_next_call(at_prompt, board, tmp_path):
    # Ten samples wait for their batch to fill, as they do when Ctrl-C ends a call.
    waiting = "m._trainer('finetune', False).feed(x[:640]); m.partial_fit(x); m.save('after')"
    board(at_prompt + waiting)
    board(at_prompt + "m.partial_fit(x); m.save('alone')")
    assert (tmp_path / "after").read_bytes() == (tmp_path / "alone").read_bytes()


def test_model_without_classes_says_so(at_prompt, board, verdict, tmp_path):
    drop = """
m.description["nodes"] = m.description["nodes"][:7]
m.description["tasks"] = {"finetune": m.description["tasks"]["finetune"]}
"""
    for call in ("m.predict(x)", "m.score(x, y)", "m.partial_fit(x, y)"):
        assert verdict(at_prompt + drop + call) == "ValueError: the model has no classes"


def test_pixels_are_not_negative(at_prompt, board):
    assert board(at_prompt + "print(bytes(m._samples([[-1.0] * 64])) == bytes(64))") == "True\n"


# Memory


def test_arena_that_does_not_fit_is_an_error_with_both_numbers(at_prompt, verdict):
    # 200 KB hold model and package; the plan asks for a batch of 256.
    large = """
plan = m.description["plan"]
plan["finetune"]["bytes"] = 1 << 20
m.partial_fit(x)
"""
    said = verdict(at_prompt + large, heap="200k")
    assert said.startswith("MemoryError: the arena needs 1048576 bytes, ")
    free = int(said.split(", ")[1].split()[0])
    assert 0 < free < 200 * 1024


def test_arena_larger_than_any_memory_is_the_same_error(at_prompt, verdict):
    huge = "m.description['plan']['finetune']['bytes'] = (1 << 31) - 1\nm.partial_fit(x)"
    assert verdict(at_prompt + huge).startswith("MemoryError: the arena needs 2147483647 bytes, ")


def test_tasks_take_turns_in_the_memory_of_one(at_prompt, board):
    """No two arenas are held at a time, whatever is called in turn."""
    turns = """
import gc
gc.collect()
sizes = [m.description["plan"][task]["bytes"] for task in ("finetune", "head", "evaluate")]
def used():
    gc.collect()
    return gc.mem_alloc()
m.partial_fit(x)
first = used()
for _ in range(3):
    m.partial_fit(x, y)
    m.score(x, y)
    m.partial_fit(x)
print(used() - first < min(sizes))
"""
    assert board(at_prompt + turns) == "True\n"
