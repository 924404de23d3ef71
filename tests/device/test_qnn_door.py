"""The door of qnn: a wrong argument is a ValueError that names it, and nothing is written."""

from pathlib import Path

import pytest

DOOR = Path(__file__).with_name("qnn_door.py")

# What each call reads or writes: bytes, int32 words, scales in words, counts and scales.
BYTES = {
    "Dense.forward": ["weight", "x", "y"],
    "Dense.backward": ["weight", "dx", "e", "dy", "mask"],
    "Dense.update": ["weight", "dy", "x"],
    "ErrorSum.forward": ["d", "a", "b", "ErrorSum.mask"],
    "Latent.forward": ["mu", "logvar", "z"],
    "Latent.backward": ["mu", "logvar", "dz", "dmu", "dlogvar"],
    "Latent.kl": ["mu", "logvar"],
    "Bernoulli.loss": ["logits", "target"],
    "Bernoulli.backward": ["logits", "target", "d"],
    "Softmax.loss": ["logits"],
    "Softmax.backward": ["logits", "d"],
    "Softmax.predict": ["logits", "classes"],
}
WRITTEN = ["y", "dx", "e", "d", "z", "dmu", "dlogvar", "classes"]
OPTIONAL = ["mask", "ErrorSum.mask"]
DENSE = ["Dense.forward", "Dense.backward", "Dense.update"]
WORDS = {name: ["scale", "bias", "state", "scratch"] for name in DENSE} | {
    "ErrorSum.forward": ["range"],
    "Latent.forward": ["Latent.state"],
    "Latent.backward": ["Latent.state"],
    "Bernoulli.backward": ["range"],
    "Softmax.backward": ["range"],
}
SCALES = {  # in a buffer; whether 0, not set, may be there
    "scale": False,
    "state": True,
    "Latent.state": True,
    "range": True,
}
INTS = {name: {"n": 1024} for name in BYTES if name != "ErrorSum.forward"}
INTS["ErrorSum.forward"] = {"count": 1024 * 4096}
for _name in DENSE:
    INTS[_name] |= {"rows": 4096, "cols": 4096}
for _name in BYTES:
    if _name.startswith(("Latent", "Bernoulli")):
        INTS[_name] |= {"width": 4096}
    elif _name.startswith("Softmax"):
        INTS[_name] |= {"width": 256}
SCALE_ARGUMENTS = {
    "Dense.forward": ["x_scale"],
    "Dense.backward": ["dy_scale"],
    "Dense.update": ["dy_scale", "x_scale"],
    "ErrorSum.forward": ["a_scale", "b_scale"],
    "Latent.forward": ["mu_scale", "beta"],
    "Latent.backward": ["dz_scale", "mu_scale", "beta"],
    "Latent.kl": ["mu_scale", "beta"],
    "Bernoulli.loss": ["x_scale"],
    "Bernoulli.backward": ["x_scale"],
    "Softmax.loss": ["logit_scale"],
    "Softmax.backward": ["logit_scale"],
}
OR_ZERO = {"Dense.forward": ["output_scale"], "Dense.update": ["rate"]}

NO_BUFFER = ["7", "'text'", "[1, 2]", "object()"]
FOREIGN = ["array('h', [1] * 99)", "array('f', [1.0] * 99)", "array('d', [1.0] * 99)"]
NO_SCALES = [
    "32767",  # its mantissa has 15 bits
    "(128 << 16) | 32768",
    "(-128 << 16) | 32768",
    "1 << 29",
    "1.5",
    "None",
    "'1'",
]


def refusals(name: str) -> list[str]:
    return [f"wrong {name.split('.')[-1]}"]


def pairs(table):
    return [(what, name) for what, names in table.items() for name in names]


@pytest.fixture
def door(board):
    """door(what, name, wrong, ...) -> what each wrong value of an argument leads to."""

    def run(what: str, name: str, *wrong: str) -> list[str]:
        lines = [f"exec(open({str(DOOR)!r}).read())"]
        for each in wrong:
            lines.append(f"right = things[{name!r}]")
            lines.append(f"print(refused({what!r}, {name!r}, {each}))")
        return board("\n".join(lines)).splitlines()

    return run


@pytest.mark.parametrize("what", [*BYTES, "scale"])
def test_right_arguments_are_accepted(board, what):
    assert board(f"exec(open({str(DOOR)!r}).read())\ncall({what!r})\nprint('done')") == "done\n"


@pytest.mark.parametrize(("what", "name"), pairs(BYTES))
def test_bytes(door, what, name):
    wrong = [*NO_BUFFER, *FOREIGN, "array('i', [1] * 99)", "right[:-1]", "bytearray(0)"]
    if name in WRITTEN:
        wrong.append("bytes(right)")  # read-only
    if name not in OPTIONAL:
        wrong.append("None")
    assert door(what, name, *wrong) == refusals(name) * len(wrong)


@pytest.mark.parametrize(("what", "name"), pairs(WORDS))
def test_words(door, what, name):
    wrong = [
        *NO_BUFFER,
        *FOREIGN,
        "None",
        "array('b', [1] * 99)",
        "array('i', right[:-1])",
        "bytes(right)",  # read-only
        "memoryview(bytearray(99))[1:]",  # not aligned
        "memoryview(bytearray(99))[2:]",
    ]
    assert door(what, name, *wrong) == refusals(name) * len(wrong)


@pytest.mark.parametrize(
    ("what", "name"), [(what, name) for what, name in pairs(WORDS) if name in SCALES]
)
def test_scales_in_buffers(door, what, name):
    values = ["32767", "1", "(128 << 16) | 32768", "-1 << 24"] + ["0"] * (not SCALES[name])
    last = [f"array('i', list(right[:-1]) + [{value}])" for value in values]
    assert door(what, name, *last) == refusals(name) * len(last)


@pytest.mark.parametrize(
    ("what", "name", "most"), [(w, n, m) for w in INTS for n, m in INTS[w].items()]
)
def test_counts(door, what, name, most):
    wrong = ["0", "-1", str(most + 1), "(1 << 30) - 1", "-1 << 30"]
    wrong += ["None", "'4'", "1.5"]
    assert door(what, name, *wrong) == refusals(name) * len(wrong)


@pytest.mark.parametrize(("what", "name"), pairs(SCALE_ARGUMENTS))
def test_scale_arguments(door, what, name):
    wrong = ["0", *NO_SCALES]
    assert door(what, name, *wrong) == refusals(name) * len(wrong)


@pytest.mark.parametrize(("what", "name"), pairs(OR_ZERO))
def test_scale_arguments_that_may_be_zero(door, what, name):
    assert door(what, name, *NO_SCALES) == refusals(name) * len(NO_SCALES)
    assert door(what, name, "0") == ["accepted"]


@pytest.mark.parametrize("what", ["Softmax.loss", "Softmax.backward"])
def test_labels(door, what):
    wrong = ["bytearray([0, 1, 2, 3])", "bytearray([255, 0, 0, 0])"]  # of 3 classes
    assert door(what, "target", *wrong) == ["wrong label"] * 2
    assert door(what, "target", "bytearray([0, 1, 2])", "None") == ["wrong target"] * 2


def test_scale_is_made_of_integers_in_range(door):
    assert door("scale", "m", "-1", "1 << 30", "None", "1.5") == ["wrong m"] * 4
    assert door("scale", "exponent", "1001", "-1001") == ["wrong e"] * 2


def test_a_layer_without_tensors_is_refused(board):
    """An object that was never bound has nothing to work on."""
    source = f"""
exec(open({str(DOOR)!r}).read())
tensors = pick("weight", "scale", "bias", "state", "scratch")
for make, use in (
    (lambda: qnn.Dense(*tensors, rows=3, cols=5), lambda l: l.forward(1, ONE, 1)),
    (lambda: qnn.Latent(things["Latent.state"], 3, ONE, 1), lambda l: l.kl(1, ONE)),
    (lambda: qnn.Bernoulli(things["range"], 3), lambda l: l.loss(1, ONE)),
    (lambda: qnn.Softmax(things["range"], 3), lambda l: l.predict(1, bytearray(1))),
):
    try:
        use(make())
    except ValueError as error:
        print(error)
"""
    assert board(source).splitlines() == ["wrong x", "wrong mu", "wrong target", "wrong logits"]


def test_a_bytearray_that_shrinks_between_calls_is_measured_again(board):
    """Its bytes move: an address kept from an earlier call would point into freed memory."""
    source = f"""
import gc
exec(open({str(DOOR)!r}).read())
layer = dense()
first = layer.forward(N, UNIT, True)
for turn in range(50):
    things["x"].extend(bytes(1000 + turn))
    junk = [bytearray(b"\\x55" * 300) for _ in range(20)]
    gc.collect()
    layer.forward(N, UNIT, True)
things["x"][4:] = b""
try:
    layer.forward(N, UNIT, True)
except ValueError as error:
    print(error, first != 0)
"""
    assert board(source) == "wrong x True\n"


@pytest.mark.parametrize("what", BYTES)
def test_the_value_that_no_tensor_holds_does_no_harm(board, what):
    """-128 in every buffer of bytes, guards around it: results may be anything, in its place."""
    source = f"""
exec(open({str(DOOR)!r}).read())
guards = []
for name in list(things):
    if isinstance(things[name], bytearray) and name != "classes":
        size = len(things[name])
        whole = bytearray(b"\\x80" * (size + 64))
        guards.append((whole, size))
        things[name] = memoryview(whole)[32 : 32 + size]
if "Softmax" in {what!r} and "predict" not in {what!r}:
    things["target"] = bytearray(N)
call({what!r})
for whole, size in guards:
    assert whole[:32] == whole[32 + size :] == b"\\x80" * 32
print("done")
"""
    assert board(source) == "done\n"


def test_a_rate_of_zero_changes_nothing(board):
    source = f"""
exec(open({str(DOOR)!r}).read())
before = checksum()
things["rate"] = 0
call("Dense.update")
print(checksum() == before)
"""
    assert board(source) == "True\n"
