"""The operators in float32: the yardstick for int8. The same network, data and random samples, four times the memory.

A precision is a module like this one and operators: ITEM_BYTES of a number in the arena, the tensors a model computes
with, how a sample gets into the arena, the operators and the sum of two errors.
"""

from array import array
from micropython import const

import qnn

from fieldtune import operators

ITEM_BYTES = const(4)
SAVED = False
_BIAS_ONE = 65536.0
_ONE = b"\x01"


def computed(description, tensors):
    """The tensors of a model file as array('f') of real values. Raises ValueError for a scale that is none."""
    found = {}
    for node in description["nodes"]:
        name = node["name"]
        found[name + ".state"] = _real(tensors[name + ".state"])
        if node["op"] == "dense":
            found[name + ".weight"] = _weights(tensors[name + ".weight"], tensors[name + ".scale"])
            found[name + ".scale"] = None
            found[name + ".bias"] = array("f", (b / _BIAS_ONE for b in tensors[name + ".bias"]))
    return found


def _real(scales):
    values = array("f", bytes(ITEM_BYTES * len(scales)))
    view = memoryview(values)
    for i, scale in enumerate(scales):
        qnn.dequantize(view[i : i + 1], _ONE, scale)
    return values


def _weights(quantized, scales):
    values = array("f", bytes(ITEM_BYTES * len(quantized)))
    source, view = memoryview(quantized), memoryview(values)
    cols = len(quantized) // len(scales)
    for row, scale in enumerate(scales):
        first, end = row * cols, (row + 1) * cols
        qnn.dequantize(view[first:end], source[first:end], scale)
    return values


def put(tensor, at, row):
    """Writes a sample, an int8 row, into an input tensor; `at` counts numbers."""
    end = at + len(row)
    qnn.dequantize(tensor.data[ITEM_BYTES * at : ITEM_BYTES * end], row, tensor.scale)


class Dense(operators.Dense):
    kernel = qnn.DenseFloat32


class Latent(operators.Latent):
    kernel = qnn.LatentFloat32


class Bernoulli(operators.Bernoulli):
    kernel = qnn.BernoulliFloat32


class Softmax(operators.Softmax):
    kernel = qnn.SoftmaxFloat32


OPERATORS = {"dense": Dense, "latent": Latent, "bernoulli": Bernoulli, "softmax": Softmax}
ErrorSum = qnn.ErrorSumFloat32
