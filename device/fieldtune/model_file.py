"""Model files: one safetensors file, tensors and graph. Read strictly, since a file can come from anywhere."""

import json
import os
import struct
from array import array
from micropython import const

_HEADER_LIMIT = const(8192)
_NODE_LIMIT = const(64)
_WIDTH_LIMIT = const(4096)
_ITEM = {"I8": 1, "I32": 4}


def _dumps(value):
    """Compact JSON with sorted keys: MicroPython's dicts have no order, and the same model is the same file."""
    if isinstance(value, dict):
        return "{%s}" % ",".join(json.dumps(key) + ":" + _dumps(value[key]) for key in sorted(value))
    if isinstance(value, list):
        return "[%s]" % ",".join(_dumps(item) for item in value)
    return json.dumps(value)


def _check(condition, what):
    if not condition:
        raise ValueError("model file: " + what)


def _width(value):
    _check(isinstance(value, int) and 1 <= value <= _WIDTH_LIMIT, "width")
    return value


def _known(widths, name):
    _check(isinstance(name, str) and name in widths, "unknown input")
    return widths[name]


def shapes(graph):
    """{tensor name: (dtype, shape)} of a graph. Raises ValueError for a graph that makes no sense."""
    _check(isinstance(graph, dict) and graph.get("format") == 1, "format")
    nodes = graph.get("nodes")
    _check(isinstance(nodes, list) and len(nodes) <= _NODE_LIMIT, "nodes")
    try:
        widths = {"input": _width(graph["input"]["width"])}
        found = {}
        for node in nodes:
            _node_shapes(node, widths, found)
    except (KeyError, TypeError, AttributeError):
        raise ValueError("model file: nodes")
    return found


def _node_shapes(node, widths, found):
    op, name = node["op"], node["name"]
    _check(isinstance(name, str) and 1 <= len(name) <= 40 and name not in widths, "name")
    if op == "dense":
        cols, rows = _known(widths, node["input"]), _width(node["width"])
        found[name + ".weight"] = ("I8", [rows, cols])
        found[name + ".scale"] = ("I32", [rows])
        found[name + ".bias"] = ("I32", [rows])
        found[name + ".state"] = ("I32", [5])
        widths[name] = rows
    elif op == "latent":
        width = _known(widths, node["mu"])
        _check(_known(widths, node["logvar"]) == width, "latent widths")
        found[name + ".state"] = ("I32", [3])
        widths[name] = width
    elif op == "bernoulli":
        _check(_known(widths, node["input"]) == _known(widths, node["target"]), "target width")
        found[name + ".state"] = ("I32", [1])
        widths[name] = 0
    elif op == "softmax":
        _check(_known(widths, node["input"]) <= 256, "classes")
        found[name + ".state"] = ("I32", [1])
        widths[name] = 0
    else:
        raise ValueError("model file: unknown operator")


def _read_header(file, size):
    head = file.read(8)
    _check(len(head) == 8, "truncated")
    length, high = struct.unpack("<II", head)
    _check(high == 0 and 2 <= length <= _HEADER_LIMIT and 8 + length <= size, "not a safetensors file")
    try:
        header = json.loads(file.read(length))
        graph = json.loads(header.pop("__metadata__")["fieldtune"])
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError("model file: header")
    return header, graph, 8 + length


def _extent(entry, dtype, shape, available):
    """Checked (offset, bytes) of a tensor."""
    _check(isinstance(entry, dict), "tensor")
    _check(entry.get("dtype") == dtype and entry.get("shape") == shape, "tensor type or shape")
    offsets = entry.get("data_offsets")
    _check(isinstance(offsets, list) and len(offsets) == 2, "tensor offsets")
    first, end = offsets
    length = _ITEM[dtype]
    for n in shape:
        length *= n
    _check(isinstance(first, int) and isinstance(end, int), "tensor offsets")
    _check(0 <= first and end - first == length and end <= available, "tensor offsets")
    _check(first % _ITEM[dtype] == 0, "tensor alignment")
    return first, length


def read(path):
    """(graph, {name: bytearray or array('i')}) of a model file.

    Raises OSError where it cannot be read, ValueError for a file that is not a valid model.
    """
    size = os.stat(path)[6]
    with open(path, "rb") as file:
        header, graph, start = _read_header(file, size)
        wanted = shapes(graph)
        _check(set(wanted) == set(header), "tensors missing or too many")
        extents = [(_extent(header[name], *wanted[name], size - start), name) for name in wanted]
        extents.sort()
        tensors, end = {}, 0
        for (first, length), name in extents:
            _check(first >= end, "tensors overlap")
            end = first + length
            data = bytearray(length) if wanted[name][0] == "I8" else array("i", bytes(length))
            file.seek(start + first)
            _check(file.readinto(data) == length, "truncated")
            tensors[name] = data
    _check(start + end == size, "bytes beyond the tensors")
    return graph, tensors


def write(path, graph, tensors):
    """Writes a model file, whole or not at all: under another name first, then renamed."""
    wanted = shapes(graph)
    # 4-byte types first, which aligns all.
    names = sorted(wanted, key=lambda name: (wanted[name][0] != "I32", name))
    header, offset = {"__metadata__": {"fieldtune": _dumps(graph)}}, 0
    for name in names:
        length = len(tensors[name]) * _ITEM[wanted[name][0]]
        header[name] = {
            "dtype": wanted[name][0],
            "shape": wanted[name][1],
            "data_offsets": [offset, offset + length],
        }
        offset += length
    text = _dumps(header)
    text += " " * (-len(text) % 8)
    _check(len(text) <= _HEADER_LIMIT, "header")
    with open(path + ".new", "wb") as file:
        file.write(struct.pack("<II", len(text), 0))
        file.write(text)
        for name in names:
            file.write(tensors[name])
    os.rename(path + ".new", path)
