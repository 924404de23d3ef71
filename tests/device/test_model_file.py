"""Model files on the board: what is read, what is refused, what is written back."""

import json
import struct

import pytest

from fieldtune.errors import UsageError
from fieldtune.model import example, file

READ = "from fieldtune import model_file; model_file.read('m')"


class Parts:
    """A model file taken apart: its header without the metadata, its graph, its data."""

    def __init__(self, data: bytes):
        end = 8 + int.from_bytes(data[:8], "little")
        self.header = json.loads(data[8:end])
        self.graph = json.loads(self.header.pop("__metadata__")["fieldtune"])
        self.data = bytearray(data[end:])

    def join(self) -> bytes:
        text = json.dumps(self.graph, separators=(",", ":"))
        header = {"__metadata__": {"fieldtune": text}, **self.header}
        return with_header(json.dumps(header, separators=(",", ":")).encode(), self.data)

    def node(self, name: str) -> dict:
        return next(node for node in self.graph["nodes"] if node["name"] == name)

    def put(self, name: str, index: int, kind: str, value: int) -> None:
        """Writes an element of a tensor."""
        at = self.header[name]["data_offsets"][0] + index * struct.calcsize(kind)
        struct.pack_into(kind, self.data, at, value)


def with_header(header: bytes, data: bytes = b"") -> bytes:
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + bytes(data)


@pytest.fixture(scope="module")
def whole() -> bytes:
    return file.to_bytes(example.digits(1))


def move(header: dict, name: str, by: int) -> None:
    header[name]["data_offsets"] = [at + by for at in header[name]["data_offsets"]]


def shift_all(parts: Parts) -> None:
    """A byte before everything: no int32 is aligned then."""
    parts.data[:0] = b"\0"
    for name in parts.header:
        move(parts.header, name, 1)


WEIGHT, SCALE, STATE = "head.logits.weight", "head.logits.scale", "latent.state"

TENSOR_LIES = {
    "a tensor is missing": lambda p: p.header.pop(WEIGHT),
    "a tensor belongs to no node": lambda p: p.header.update(x=p.header[WEIGHT]),
    "an entry is no object": lambda p: p.header.update({WEIGHT: [1, 2]}),
    "an entry is empty": lambda p: p.header.update({WEIGHT: {}}),
    "another type": lambda p: p.header[WEIGHT].update(dtype="I32"),
    "a type nobody knows": lambda p: p.header[WEIGHT].update(dtype="F8"),
    "a shape turned": lambda p: p.header[WEIGHT].update(shape=[32, 10]),
    "a shape of nested lists": lambda p: p.header[WEIGHT].update(shape=[[10], [32]]),
    "no offsets": lambda p: p.header[WEIGHT].pop("data_offsets"),
    "one offset": lambda p: p.header[WEIGHT].update(data_offsets=[0]),
    "offsets of text": lambda p: p.header[WEIGHT].update(data_offsets=["0", "320"]),
    "offsets of fractions": lambda p: p.header[WEIGHT].update(data_offsets=[0.0, 320.0]),
    "negative offsets": lambda p: p.header[WEIGHT].update(data_offsets=[-320, 0]),
    "offsets beyond 64 bits": lambda p: move(p.header, WEIGHT, 1 << 70),
    "a length that is not the shape's": lambda p: p.header[WEIGHT].update(data_offsets=[0, 319]),
    "outside of the file": lambda p: move(p.header, WEIGHT, 1 << 20),
    "two in one place": lambda p: p.header[SCALE].update(p.header["head.logits.bias"]),
    "an overlap of a few bytes": lambda p: move(p.header, SCALE, 4),
    "int32 at odd addresses": shift_all,
    "bytes that belong to no tensor": lambda p: p.data.append(0),
    "less data than the header says": lambda p: p.data.pop(),
    "a weight of -128": lambda p: p.put(WEIGHT, 7, "<b", -128),
    "a row's scale that is not set": lambda p: p.put(SCALE, 9, "<i", 0),
    "a row's scale without its top bit": lambda p: p.put(SCALE, 0, "<i", 0x7FFF),
    "a scale beyond 2^127": lambda p: p.put(SCALE, 0, "<i", 128 << 16 | 0x8000),
    "a range that is no scale": lambda p: p.put(STATE, 2, "<i", 1),
}

LOGITS, HIDDEN = "decoder.logits", "encoder.hidden"

GRAPH_LIES = {
    "another format": lambda p: p.graph.update(format=2),
    "no format": lambda p: p.graph.pop("format"),
    "a key nobody knows": lambda p: p.graph.update(extra=1),
    "a name that is no text": lambda p: p.graph.update(name=1),
    "a step before the first": lambda p: p.graph.update(step=-1),
    "a step of text": lambda p: p.graph.update(step="1"),
    "a seed beyond 31 bits": lambda p: p.graph.update(seed=1 << 31),
    "no input": lambda p: p.graph.pop("input"),
    "an input that is a number": lambda p: p.graph.update(input=64),
    "an input of no width": lambda p: p.graph["input"].update(width=0),
    "an input that is huge": lambda p: p.graph["input"].update(width=1 << 40),
    "an input whose scale is no scale": lambda p: p.graph["input"].update(scale=1),
    "no nodes": lambda p: p.graph.pop("nodes"),
    "an empty list of nodes": lambda p: p.graph.update(nodes=[]),
    "nodes that are an object": lambda p: p.graph.update(nodes={}),
    "a node that is text": lambda p: p.graph["nodes"].append("dense"),
    "too many nodes": lambda p: p.graph.update(nodes=p.graph["nodes"] * 7),
    "two nodes of one name": lambda p: p.graph["nodes"].append(p.graph["nodes"][0]),
    "a node called input": lambda p: p.node(HIDDEN).update(name="input"),
    "a node without a name": lambda p: p.node(HIDDEN).pop("name"),
    "a name with a path in it": lambda p: p.node(HIDDEN).update(name="../x"),
    "a name of 41 letters": lambda p: p.node(HIDDEN).update(name="x" * 41),
    "an unknown operator": lambda p: p.node(HIDDEN).update(op="lstm"),
    "an operator that is a list": lambda p: p.node(HIDDEN).update(op=["dense"]),
    "no operator": lambda p: p.node(HIDDEN).pop("op"),
    "a field nobody knows": lambda p: p.node(HIDDEN).update(stride=2),
    "a field that is missing": lambda p: p.node(HIDDEN).pop("width"),
    "a width of 0": lambda p: p.node(HIDDEN).update(width=0),
    "a width of 4097": lambda p: p.node(HIDDEN).update(width=4097),
    "a negative width": lambda p: p.node(HIDDEN).update(width=-48),
    "a width with a fraction": lambda p: p.node(HIDDEN).update(width=48.0),
    "a width that is null": lambda p: p.node(HIDDEN).update(width=None),
    "a width that is true": lambda p: p.node(HIDDEN).update(width=True),
    "a relu of 2": lambda p: p.node(HIDDEN).update(relu=2),
    "an output_scale that is no scale": lambda p: p.node(LOGITS).update(output_scale=5),
    "an input nobody makes": lambda p: p.node(HIDDEN).update(input="nobody"),
    "an input made later": lambda p: p.node(HIDDEN).update(input="latent"),
    "an input that is a list": lambda p: p.node(HIDDEN).update(input=["input"]),
    "an input that is a loss": lambda p: p.node("head.hidden").update(input="reconstruction"),
    "a latent of two widths": lambda p: p.node("latent").update(mu=HIDDEN),
    "a latent of one node": lambda p: p.node("latent").update(mu="encoder.logvar"),
    "a latent that reads a ReLU": lambda p: p.node("encoder.mu").update(relu=1),
    "a logvar of another scale": lambda p: p.node("encoder.logvar").pop("output_scale"),
    "a beta that is not set": lambda p: p.node("latent").update(beta=0),
    "a target that is no input": lambda p: p.node("reconstruction").update(target="latent"),
    "logits narrower than the target": lambda p: p.node("reconstruction").update(
        input="encoder.logvar"
    ),
    "logits of another scale": lambda p: p.node(LOGITS).pop("output_scale"),
    "a loss that reads the sample": lambda p: p.node("class").update(input="input"),
    "a loss that reads a ReLU": lambda p: p.node("class").update(input="head.hidden"),
    "no tasks": lambda p: p.graph.pop("tasks"),
    "tasks that are a list": lambda p: p.graph.update(tasks=[]),
    "tasks that are empty": lambda p: p.graph.update(tasks={}),
    "a task that is a list": lambda p: p.graph["tasks"].update(head=[]),
    "a task called batch": lambda p: p.graph["tasks"].update(batch=p.graph["tasks"]["head"]),
    "a task without a loss": lambda p: p.graph["tasks"]["head"].pop("loss"),
    "a task with a loss nobody knows": lambda p: p.graph["tasks"]["head"].update(loss="x"),
    "a task whose loss is a layer": lambda p: p.graph["tasks"]["head"].update(loss=HIDDEN),
    "a task whose loss is a list": lambda p: p.graph["tasks"]["head"].update(loss=["class"]),
    "a task that trains nobody knows": lambda p: p.graph["tasks"]["head"].update(train=["x"]),
    "a task that trains text": lambda p: p.graph["tasks"]["head"].update(train="head.logits"),
    "a task that trains numbers": lambda p: p.graph["tasks"]["head"].update(train=[1]),
    "a task that trains a latent": lambda p: p.graph["tasks"]["finetune"].update(train=["latent"]),
    "a task that trains what its loss does not see": lambda p: p.graph["tasks"]["head"].update(
        train=["decoder.hidden"]
    ),
    "a task that trains a node twice": lambda p: p.graph["tasks"]["head"]["train"].append(
        "head.logits"
    ),
    "a task that trains logvar alone": lambda p: p.graph["tasks"]["finetune"].update(
        train=["encoder.logvar"]
    ),
    "no plan": lambda p: p.graph.pop("plan"),
    "a plan that is a list": lambda p: p.graph.update(plan=[]),
    "a plan for no batch": lambda p: p.graph["plan"].pop("batch"),
    "a plan for a batch of 0": lambda p: p.graph["plan"].update(batch=0),
    "a plan for a batch of 257": lambda p: p.graph["plan"].update(batch=257),
    "a plan without a task": lambda p: p.graph["plan"].pop("head"),
    "a plan for a task nobody knows": lambda p: p.graph["plan"].update(x={}),
    "a plan of a task that is null": lambda p: p.graph["plan"].update(head=None),
    "a plan without its size": lambda p: p.graph["plan"]["head"].pop("bytes"),
    "a plan of negative size": lambda p: p.graph["plan"]["head"].update(bytes=-1),
    "a plan without tensors": lambda p: p.graph["plan"]["head"].pop("tensors"),
    "tensors of a plan in a list": lambda p: p.graph["plan"]["head"].update(tensors=[]),
    "an offset outside of the arena": lambda p: p.graph["plan"]["head"]["tensors"].update(
        {"y:input": 1 << 20}
    ),
    "a negative offset": lambda p: p.graph["plan"]["head"]["tensors"].update({"y:input": -4}),
    "an odd offset": lambda p: p.graph["plan"]["head"]["tensors"].update({"y:input": 2}),
    "an offset of text": lambda p: p.graph["plan"]["head"]["tensors"].update({"y:input": "0"}),
}

HEADERS = {
    "empty": b"",
    "shorter than its length": b"\x10\0\0",
    "another magic": b"\x89PNG\r\n\x1a\n" + bytes(64),
    "a header beyond the end": (4096).to_bytes(8, "little") + b"{}",
    "a header of 2^63 bytes": (1 << 63).to_bytes(8, "little") + b"{}" * 40,
    "a header that says 4 GB": (1 << 32).to_bytes(8, "little") + b"{}" * 40,
    "a header over 8 KB": with_header(b"{" + b" " * 8200 + b"}"),
    "a header that is a list": with_header(b"[1, 2]"),
    "a header that is text": with_header(b'"__metadata__"'),
    "a header of unfinished JSON": with_header(b'{"a": {'),
    "a header that is no UTF-8": with_header(b'{"\xff\xfe": 1}'),
    "no metadata": with_header(b"{}"),
    "metadata that is null": with_header(b'{"__metadata__": null}'),
    "metadata without a graph": with_header(b'{"__metadata__": {}}'),
    "a graph that is no text": with_header(b'{"__metadata__": {"fieldtune": {}}}'),
    "a graph that is no JSON": with_header(b'{"__metadata__": {"fieldtune": "{"}}'),
    "a graph that is a number": with_header(b'{"__metadata__": {"fieldtune": "7"}}'),
    "lists, 8000 deep": with_header(b"[" * 8000),
    "lists, 4000 deep, closed": with_header(b"[" * 4000 + b"]" * 4000),
    "objects, 1600 deep": with_header(b'{"a":' * 1600),
    "a graph of lists, 3000 deep": with_header(
        b'{"__metadata__": {"fieldtune": "' + b"[" * 3000 + b"]" * 3000 + b'"}}'
    ),
}


@pytest.mark.parametrize("lie", [*TENSOR_LIES, *GRAPH_LIES])
def test_file_that_lies_is_refused_by_board_and_host(lie, whole, verdict, tmp_path):
    parts = Parts(whole)
    (TENSOR_LIES | GRAPH_LIES)[lie](parts)
    (tmp_path / "m").write_bytes(parts.join())
    assert verdict(READ).startswith("ValueError: model file: ")
    with pytest.raises(UsageError):
        file.from_bytes(parts.join(), "m")


@pytest.mark.parametrize("header", HEADERS)
def test_file_that_is_no_model_is_refused_by_board_and_host(header, verdict, tmp_path):
    (tmp_path / "m").write_bytes(HEADERS[header])
    assert verdict(READ).startswith("ValueError: model file: ")
    with pytest.raises(UsageError):
        file.from_bytes(HEADERS[header], "m")


def test_what_the_lies_start_from_is_accepted(whole, verdict, tmp_path):
    (tmp_path / "m").write_bytes(Parts(whole).join())
    assert verdict(READ) == "accepted"


def test_file_cut_off_anywhere_is_refused(whole, board, tmp_path):
    lengths = range(0, len(whole), 100)
    for length in lengths:
        (tmp_path / str(length)).write_bytes(whole[:length])
    loop = """
import os
from fieldtune import model_file
for name in os.listdir():
    try:
        model_file.read(name)
        print(name, "accepted")
    except ValueError:
        print("refused")
"""
    assert board(loop).split() == ["refused"] * len(lengths)


def test_file_that_is_not_there_is_an_oserror(verdict):
    assert verdict(READ) == "OSError: [Errno 2] ENOENT"


def test_widest_layer_is_refused_by_its_missing_data_before_it_is_allocated(
    whole, verdict, tmp_path
):
    parts = Parts(whole)
    parts.graph["input"]["width"] = 4096
    parts.node("encoder.hidden")["width"] = 4096
    parts.header["encoder.hidden.weight"]["shape"] = [4096, 4096]
    (tmp_path / "m").write_bytes(parts.join())
    assert verdict(READ, heap="128k").startswith("ValueError: model file: ")


SAVE = """
import fieldtune
fieldtune.load("m").save("first")
fieldtune.load("first").save("second")
"""


def test_what_the_board_writes_is_the_same_model(whole, board, tmp_path):
    (tmp_path / "m").write_bytes(whole)
    board(SAVE)
    written = (tmp_path / "first").read_bytes()
    assert (tmp_path / "second").read_bytes() == written
    host, back = file.from_bytes(whole, "m"), file.from_bytes(written, "first")
    assert back.graph == host.graph and back.plan == host.plan
    assert all((back.tensors[name] == host.tensors[name]).all() for name in host.tensors)


def test_name_in_any_alphabet_survives(whole, board, tmp_path):
    parts = Parts(whole)
    parts.graph["name"] = 'Größe "数字"\n\\'
    (tmp_path / "m").write_bytes(parts.join())
    board(SAVE)
    written = (tmp_path / "first").read_bytes()
    assert file.from_bytes(written, "first").graph.name == parts.graph["name"]
    assert (tmp_path / "second").read_bytes() == written


def test_model_that_breaks_the_rules_is_not_written_and_the_old_file_stays(
    whole, verdict, tmp_path
):
    (tmp_path / "m").write_bytes(whole)
    spoil = "import fieldtune; m = fieldtune.load('m'); m.description['format'] = 9; m.save('m')"
    assert verdict(spoil) == "ValueError: model file: format"
    assert (tmp_path / "m").read_bytes() == whole
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
