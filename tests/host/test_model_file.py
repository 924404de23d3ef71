"""The model file: what is written is read back; what is damaged is refused, by name."""

import json
import os
import stat

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load as load_safetensors

from fieldtune.errors import FieldtuneError, UsageError
from fieldtune.model import example, file, graph, planner, scale
from fieldtune.model.operators import LOGIT_SCALE


@pytest.fixture(scope="module")
def digits() -> file.Model:
    return example.digits(seed=1)


@pytest.fixture(scope="module")
def data(digits) -> bytes:
    return file.to_bytes(digits)


def header_of(data: bytes) -> dict:
    return json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])


def body_of(data: bytes) -> bytes:
    return data[8 + int.from_bytes(data[:8], "little") :]


def joined(header: dict | bytes, body: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def refusal(data: bytes) -> str:
    with pytest.raises(UsageError) as caught:
        file.from_bytes(data, "bad.safetensors")
    assert caught.value.what.startswith("bad.safetensors: ")
    return caught.value.what


def test_what_was_written_is_read_back(digits, tmp_path):
    file.write(digits, tmp_path / "m.safetensors")
    back = file.read(tmp_path / "m.safetensors")
    assert back.graph == digits.graph
    assert back.plan == digits.plan
    for name, values in digits.tensors.items():
        np.testing.assert_array_equal(back.tensors[name], values)
        assert back.tensors[name].dtype == values.dtype


def test_the_same_model_is_the_same_bytes(digits, data):
    assert file.to_bytes(example.digits(seed=1)) == data
    assert file.to_bytes(example.digits(seed=2)) != data


def test_the_public_library_reads_it(digits, data):
    arrays = load_safetensors(data)
    assert arrays.keys() == digits.tensors.keys()
    np.testing.assert_array_equal(arrays["class.state"], digits.tensors["class.state"])


def test_four_byte_tensors_come_first_and_all_are_aligned(data):
    header = header_of(data)
    del header["__metadata__"]
    spans = sorted((entry["data_offsets"], entry["dtype"]) for entry in header.values())
    kinds = [dtype for _, dtype in spans]
    assert kinds == ["I32"] * kinds.count("I32") + ["I8"] * kinds.count("I8")
    assert all(begin % 4 == 0 for (begin, _), dtype in spans if dtype == "I32")
    assert (len(data) - len(body_of(data))) % 8 == 0  # where the data starts


def test_the_header_leaves_room_in_8_kb(data):
    assert int.from_bytes(data[:8], "little") < 8192


def test_a_header_a_board_could_not_read_is_never_written():
    nodes = [
        {"op": "dense", "name": f"{i:02}" + "x" * 38, "input": "input", "width": 2}
        for i in range(30)
    ]
    nodes[-1]["output_scale"] = LOGIT_SCALE
    nodes.append({"op": "softmax", "name": "class", "input": nodes[-1]["name"]})
    large = graph.from_json(
        {
            "format": 1,
            "name": "large",
            "input": {"width": 2, "scale": LOGIT_SCALE},
            "nodes": nodes,
            "tasks": {"evaluate": {"loss": "class", "train": []}},
        }
    )
    tensors = {
        name: np.full(shape, LOGIT_SCALE if holds == "scale" else 0, file.DTYPES[dtype])
        for name, (dtype, shape, holds) in large.tensors().items()
    }
    with pytest.raises(UsageError, match="bytes, a board reads 8192"):
        file.to_bytes(file.Model(large, tensors, planner.plan(large)))


def test_replanning_changes_the_plan_alone(digits):
    other = digits.planned(batch=4)
    assert other.plan == planner.plan(digits.graph, 4)
    assert other.graph == digits.graph
    assert digits.planned(16) is digits


def test_a_file_is_written_whole_or_not_at_all(digits, tmp_path, monkeypatch):
    target = tmp_path / "m.safetensors"
    target.write_bytes(b"old")

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FieldtuneError, match="cannot be written") as caught:
        file.write(digits, target)
    assert caught.value.why == "No space left on device"
    assert [path.name for path in tmp_path.iterdir()] == ["m.safetensors"]
    assert target.read_bytes() == b"old"


def test_a_file_has_the_rights_that_the_umask_leaves(digits, tmp_path):
    before = os.umask(0o027)
    try:
        file.write(digits, tmp_path / "m.safetensors")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "m.safetensors").stat().st_mode) == 0o640


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UsageError, match="none.safetensors cannot be read"):
        file.read(tmp_path / "none.safetensors")


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (b"", "is not a safetensors file"),
        (b"GGUF" + bytes(60), "is not a safetensors file"),
        (bytes(64), "is not a safetensors file"),
        (b"\xff" * 8 + b"{}", "its header has 18446744073709551615 bytes"),
        ((8193).to_bytes(8, "little") + b"{" * 8193, "its header has 8193 bytes"),
        (joined(b"{" * 8000, b""), "its header is not valid JSON"),
        (joined(b'{"a":' * 1600, b""), "its header is not valid JSON"),
        (joined(b'{"a":1,"a":2}', b""), "its header is not valid JSON"),
        (joined(b'{"a":NaN}', b""), "its header is not valid JSON"),
        (joined(b'{"a":' + b"9" * 5000 + b"}", b""), "its header is not valid JSON"),
        (joined(b'{"\xff":1}', b""), "its header is not valid JSON"),
        (joined(b"{}", b""), "without a model's graph"),
        (joined({"__metadata__": {"format": "pt"}}, b""), "without a model's graph"),
        (joined({"__metadata__": {"fieldtune": "[]"}}, b""), "its graph is not a JSON object"),
        (joined({"__metadata__": {"fieldtune": "{}"}}, b""), "the graph lacks `format`"),
    ],
)
def test_what_is_no_model_is_refused(damage, expected):
    assert expected in refusal(damage)


def test_a_cut_header_is_refused(data):
    assert "is cut off inside its header" in refusal(data[:1000])


def test_cut_data_are_refused(data):
    assert "lies outside of the file" in refusal(data[:-1])


def test_data_behind_the_last_tensor_are_refused(data):
    assert "has 1 bytes that belong to no tensor" in refusal(data + b"\0")


NAME = "encoder.mu.weight"
ENTRIES = [
    # key, its new value, what the error says
    ("dtype", "I32", f"tensor '{NAME}' is I32, not I8"),
    ("dtype", "\x1b[2J", rf"tensor '{NAME}' is \x1b[2J, not I8"),
    ("shape", [48, 10], f"tensor '{NAME}' has shape [48, 10], not [10, 48]"),
    ("shape", [10, 48, 1], "has shape [10, 48, 1], not [10, 48]"),
    ("shape", "10x48", "has shape 10x48, not [10, 48]"),
    ("data_offsets", [0, 480], "overlaps another tensor"),
    ("data_offsets", [-480, 0], f"tensor '{NAME}' lies outside of the file"),
    ("data_offsets", [480, 0], f"tensor '{NAME}' lies outside of the file"),
    ("data_offsets", [1 << 60, (1 << 60) + 480], f"tensor '{NAME}' lies outside of the file"),
    ("data_offsets", [0], f"tensor '{NAME}' lies outside of the file"),
    ("data_offsets", [0.0, 480.0], f"tensor '{NAME}' lies outside of the file"),
    ("data_offsets", None, f"tensor '{NAME}' lies outside of the file"),
    ("data_offsets", [0, 479], f"tensor '{NAME}' has 479 bytes, which is not its size"),
]


@pytest.mark.parametrize(("key", "value", "expected"), ENTRIES)
def test_a_wrong_entry_is_refused(data, key, value, expected):
    header = header_of(data)
    header[NAME][key] = value
    assert expected in refusal(joined(header, body_of(data)))


def test_a_missing_tensor_is_refused(data):
    header = header_of(data)
    del header[NAME]
    assert f"tensor '{NAME}' is missing" in refusal(joined(header, body_of(data)))


def test_a_surplus_tensor_is_refused(data):
    header = header_of(data)
    header["evil\n"] = {"dtype": "I8", "shape": [0], "data_offsets": [0, 0]}
    assert r"tensor 'evil\n' belongs to no node" in refusal(joined(header, body_of(data)))


def test_a_misaligned_tensor_is_refused(data):
    header, body = header_of(data), body_of(data)
    # One int8 tensor moves to the front, by one byte less than it needs to keep the rest aligned.
    moved = bytes(2) + body
    for entry in header.values():
        if "data_offsets" in entry:
            entry["data_offsets"] = [each + 2 for each in entry["data_offsets"]]
    assert "is not aligned" in refusal(joined(header, moved))


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("encoder.mu.weight", -128, "has a weight of -128"),
        ("encoder.mu.scale", 0, "has a scale out of range: 0"),
        ("encoder.mu.scale", -1 << 31, "has a scale out of range: -2147483648"),
        ("encoder.mu.state", 5, "has a scale out of range: 5"),
        ("latent.state", 32767, "has a scale out of range: 32767"),
    ],
)
def test_a_wrong_value_is_refused_with_the_tensors_name(data, name, value, expected):
    header, body = header_of(data), bytearray(body_of(data))
    begin = header[name]["data_offsets"][0]
    size = 1 if name.endswith("weight") else 4
    body[begin : begin + size] = value.to_bytes(size, "little", signed=True)
    assert f"tensor '{name}' {expected}" in refusal(joined(header, bytes(body)))


def test_a_set_state_is_accepted(digits):
    tensors = {**digits.tensors, "latent.state": np.full(3, scale.encode(2.5), np.int32)}
    file.from_bytes(file.to_bytes(file.Model(digits.graph, tensors, digits.plan)), "trained")


def test_a_model_needs_its_plan(data):
    header = header_of(data)
    inner = json.loads(header["__metadata__"]["fieldtune"])
    del inner["plan"]
    header["__metadata__"]["fieldtune"] = json.dumps(inner)
    assert "the graph lacks `plan`" in refusal(joined(header, body_of(data)))


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 6500), st.binary(min_size=1, max_size=4))
def test_no_damage_to_the_header_gets_past_as_another_kind_of_error(data, at, damage):
    broken = bytearray(data)
    broken[at : at + len(damage)] = damage
    try:
        file.from_bytes(bytes(broken), "bad.safetensors")
    except UsageError as error:
        assert error.what.isprintable()
