"""Model files: one safetensors file, tensors and graph. Read strictly, since a file can come from anywhere."""

import json
import os
import struct
from array import array
from micropython import const

from fieldtune import description
from fieldtune.description import is_scale, require

_HEADER_LIMIT = const(8192)
_STATES = {"dense": 5, "latent": 3}  # ranges that training has learned; a loss has one
_ITEM = {"I8": 1, "I32": 4}


def _dumps(value):
    """Compact JSON with sorted keys: MicroPython's dicts have no order, and the same model is the same file."""
    if isinstance(value, dict):
        return "{%s}" % ",".join(json.dumps(key) + ":" + _dumps(value[key]) for key in sorted(value))
    if isinstance(value, list):
        return "[%s]" % ",".join(_dumps(item) for item in value)
    return json.dumps(value)


def shapes(graph):
    """{tensor name: (dtype, shape)} of a graph. Raises ValueError for a graph that breaks the rules."""
    widths, found = description.check(graph), {}
    for node in graph["nodes"]:
        name = node["name"]
        if node["op"] == "dense":
            rows = node["width"]
            found[name + ".weight"] = ("I8", [rows, widths[node["input"]]])
            found[name + ".scale"] = ("I32", [rows])
            found[name + ".bias"] = ("I32", [rows])
        found[name + ".state"] = ("I32", [_STATES.get(node["op"], 1)])
    return found


def _read_header(file, size):
    head = file.read(8)
    require(len(head) == 8, "truncated")
    length, high = struct.unpack("<II", head)
    require(high == 0 and 2 <= length <= _HEADER_LIMIT and 8 + length <= size, "not a safetensors file")
    try:
        header = json.loads(file.read(length))
        graph = json.loads(header.pop("__metadata__")["fieldtune"])
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError("model file: header")
    return header, graph, 8 + length


def _extent(entry, dtype, shape, available):
    """Checked (offset, bytes) of a tensor."""
    require(isinstance(entry, dict), "tensor")
    require(entry.get("dtype") == dtype and entry.get("shape") == shape, "tensor type or shape")
    offsets = entry.get("data_offsets")
    require(isinstance(offsets, list) and len(offsets) == 2, "tensor offsets")
    first, end = offsets
    length = _ITEM[dtype]
    for n in shape:
        length *= n
    require(isinstance(first, int) and isinstance(end, int), "tensor offsets")
    require(0 <= first and end - first == length and end <= available, "tensor offsets")
    require(first % _ITEM[dtype] == 0, "tensor alignment")
    return first, length


def _check_values(name, data):
    if name.endswith(".weight"):
        require(b"\x80" not in data, "a weight of -128 in " + name)
    elif not name.endswith(".bias"):
        unset = name.endswith(".state")
        require(all(is_scale(value) or (unset and value == 0) for value in data), "a scale of " + name)


def read(path):
    """(graph, {name: bytearray or array('i')}) of a model file.

    Raises OSError where it cannot be read, ValueError for a file that is not a valid model.
    """
    size = os.stat(path)[6]
    with open(path, "rb") as file:
        header, graph, start = _read_header(file, size)
        wanted = shapes(graph)
        require(set(wanted) == set(header), "tensors missing or too many")
        extents = [(_extent(header[name], *wanted[name], size - start), name) for name in wanted]
        extents.sort()
        tensors, end = {}, 0
        for (first, length), name in extents:
            require(first == end, "tensors overlap, or have a gap")
            end = first + length
            data = bytearray(length) if wanted[name][0] == "I8" else array("i", bytes(length))
            file.seek(start + first)
            require(file.readinto(data) == length, "truncated")
            _check_values(name, data)
            tensors[name] = data
    require(start + end == size, "bytes beyond the tensors")
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
    text = _dumps(header).encode()
    text += b" " * (-len(text) % 8)
    require(len(text) <= _HEADER_LIMIT, "header")
    part = path + ".new"
    try:
        with open(part, "wb") as file:
            file.write(struct.pack("<II", len(text), 0))
            file.write(text)
            for name in names:
                file.write(tensors[name])
        os.rename(part, path)
    except OSError:
        remove(part)
        raise


def remove(path):
    """Deletes a file, if it is there."""
    try:
        os.remove(path)
    except OSError:
        pass
