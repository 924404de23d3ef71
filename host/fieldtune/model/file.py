"""The model file: a graph, its plan and its tensors in one safetensors file."""

import hashlib
import json
import os
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fieldtune.errors import FieldtuneError, UsageError
from fieldtune.model import graph as graphs
from fieldtune.model import planner, scale
from fieldtune.model.graph import Graph
from fieldtune.text import printable

METADATA = "fieldtune"
HEADER_LIMIT = 8192
MOST_BYTES = 64 << 20
DTYPES = {"I8": np.dtype("<i1"), "I32": np.dtype("<i4")}


@dataclass(frozen=True)
class Model:
    """A validated model. `tensors`: int8 and int32 arrays, shapes as Graph.tensors() says."""

    graph: Graph
    tensors: dict[str, np.ndarray]
    plan: dict

    def __post_init__(self) -> None:
        planner.check(self.graph, self.plan)
        _check_tensors(self.graph, self.tensors)

    def planned(self, batch: int) -> "Model":
        """The same model with the arena laid out for another batch."""
        if batch == self.plan["batch"]:
            return self
        return replace(self, plan=planner.plan(self.graph, batch))

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        kinds = self.graph.tensors()
        return sum(t.size for k, t in self.tensors.items() if kinds[k][2] in ("weight", "bias"))

    @property
    def sha256(self) -> str:
        """Of the file as `write` makes it; a board orders the keys of its JSON differently."""
        return hashlib.sha256(to_bytes(self)).hexdigest()


def to_bytes(model: Model) -> bytes:
    """The file. Raises UsageError when its header would be longer than a board reads."""
    from safetensors.numpy import save

    text = json.dumps({**model.graph.to_json(), "plan": model.plan})
    arrays = {
        name: np.ascontiguousarray(model.tensors[name], DTYPES[dtype])
        for name, (dtype, _, _) in model.graph.tensors().items()
    }
    data = save(arrays, {METADATA: text})  # orders by size of type: I32 before I8
    length = int.from_bytes(data[:8], "little")
    if length > HEADER_LIMIT:
        raise UsageError(
            f"the model's header has {length} bytes, a board reads {HEADER_LIMIT}",
            do="use fewer nodes, or shorter names",
        )
    return data


def write(model: Model, path: Path) -> None:
    """Writes the file whole or not at all. Raises FieldtuneError when it cannot be written."""
    path = Path(path)
    data = to_bytes(model)
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as out:
            temporary = out.name
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        raise FieldtuneError(f"{path} cannot be written", error.strerror or str(error)) from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def read(path: Path) -> Model:
    """Reads and validates a file. Raises UsageError naming the file and what is wrong in it."""
    path = Path(path)
    try:
        with path.open("rb") as source:
            data = source.read(MOST_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read", error.strerror or str(error)) from error
    return from_bytes(data, str(path))


def from_bytes(data: bytes, name: str) -> Model:
    """The model in `data`; `name` stands for it in errors. Raises UsageError."""
    try:
        header, body = _header(data)
        graph, plan = _metadata(header.pop("__metadata__", None))
        tensors = _tensors(header, body, graph)
        return Model(graph, tensors, plan)
    except UsageError as error:
        raise UsageError(f"{printable(name)}: {error.what}", error.why, error.do) from None


def _header(data: bytes) -> tuple[dict, memoryview]:
    if len(data) > MOST_BYTES:
        raise graphs.wrong(f"is larger than {MOST_BYTES} bytes")
    length = int.from_bytes(data[:8], "little")
    if len(data) < 10 or data[8:9] != b"{":
        raise graphs.wrong("is not a safetensors file")
    if length > HEADER_LIMIT:
        raise graphs.wrong(f"its header has {length} bytes; at most {HEADER_LIMIT} are allowed")
    if len(data) < 8 + length:
        raise graphs.wrong("is cut off inside its header")
    header = _json(data[8 : 8 + length], "its header")
    return header, memoryview(data)[8 + length :]


def _json(text: bytes | str, what: str) -> dict:
    """Strict JSON: an object, no key twice, no NaN."""

    def unique(pairs):
        keys = dict(pairs)
        if len(keys) != len(pairs):
            raise ValueError("a key is there twice")
        return keys

    def refuse(constant):
        raise ValueError(f"{constant} is no JSON")

    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8")
        value = json.loads(text, object_pairs_hook=unique, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise graphs.wrong(f"{what} is not valid JSON", printable(error)) from None
    if not isinstance(value, dict):
        raise graphs.wrong(f"{what} is not a JSON object")
    return value


def _metadata(metadata: object) -> tuple[Graph, dict]:
    if not isinstance(metadata, dict) or not isinstance(metadata.get(METADATA), str):
        raise graphs.wrong("is a safetensors file without a model's graph")
    data = _json(metadata[METADATA], "its graph")
    graph = graphs.from_json(data)
    if "plan" not in data:
        raise graphs.wrong("the graph lacks `plan`")
    return graph, data["plan"]


def _tensors(header: dict, body: memoryview, graph: Graph) -> dict[str, np.ndarray]:
    """The arrays, after checking that they tile the data exactly, in an order that aligns them."""
    wanted = graph.tensors()
    for name in header:
        if name not in wanted:
            raise graphs.wrong(f"tensor '{printable(name)}' belongs to no node")
    spans, tensors = [], {}
    for name, (dtype, shape, _) in wanted.items():
        entry = header.get(name)
        if not isinstance(entry, dict):
            raise graphs.wrong(f"tensor {name!r} is missing")
        if entry.get("dtype") != dtype:
            raise graphs.wrong(f"tensor {name!r} is {printable(entry.get('dtype'))}, not {dtype}")
        if entry.get("shape") != list(shape):
            raise graphs.wrong(
                f"tensor {name!r} has shape {printable(entry.get('shape'))}, not {list(shape)}"
            )
        begin, end = _span(name, entry.get("data_offsets"), len(body))
        if end - begin != int(np.prod(shape)) * DTYPES[dtype].itemsize:
            raise graphs.wrong(f"tensor {name!r} has {end - begin} bytes, which is not its size")
        if begin % DTYPES[dtype].itemsize:
            raise graphs.wrong(f"tensor {name!r} is not aligned")
        spans.append((begin, end, name))
        tensors[name] = np.frombuffer(body[begin:end], DTYPES[dtype]).reshape(shape).copy()
    _check_tiling(sorted(spans), len(body))
    return tensors


def _span(name: str, offsets: object, available: int) -> tuple[int, int]:
    if (
        not isinstance(offsets, list)
        or len(offsets) != 2
        or not all(type(each) is int for each in offsets)
        or not 0 <= offsets[0] <= offsets[1] <= available
    ):
        raise graphs.wrong(f"tensor {name!r} lies outside of the file", printable(offsets))
    return offsets[0], offsets[1]


def _check_tiling(spans: list[tuple[int, int, str]], available: int) -> None:
    position = 0
    for begin, end, name in spans:
        if begin != position:
            how = "overlaps another tensor" if begin < position else "has a gap before it"
            raise graphs.wrong(f"tensor {name!r} {how}")
        position = end
    if position != available:
        raise graphs.wrong(f"has {available - position} bytes that belong to no tensor")


def _check_tensors(graph: Graph, tensors: dict[str, np.ndarray]) -> None:
    wanted = graph.tensors()
    if tensors.keys() != wanted.keys():
        odd = min(tensors.keys() ^ wanted.keys())
        raise graphs.wrong(f"tensor '{printable(odd)}' is missing, or belongs to no node")
    for name, (dtype, shape, holds) in wanted.items():
        values = tensors[name]
        if values.dtype != DTYPES[dtype] or values.shape != shape:
            raise graphs.wrong(f"tensor {name!r} is not {dtype} {list(shape)}")
        if holds == "weight" and (values == -128).any():
            raise graphs.wrong(f"tensor {name!r} has a weight of -128", "weights are -127 to 127")
        if holds in ("scale", "state"):
            optional = holds == "state"
            for packed in values.tolist():
                if not (scale.is_scale(packed) or (optional and packed == scale.NOT_SET)):
                    raise graphs.wrong(f"tensor {name!r} has a scale out of range: {packed}")
