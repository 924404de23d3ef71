"""The assembly for the Cortex-M0+ computes what ref/ computes, bit for bit, in a simulator."""

import numpy as np
import pytest
from tests.kernels import m0plus

# Batches around the four of a tile and the smallest that is packed; widths around four, and at
# 512, where one dot product fills the buffer of pairs; 40 samples of 64 overflow the panel.
SHAPES = [
    (3, 1, 1), (3, 2, 3), (4, 4, 4), (5, 3, 5), (7, 10, 6), (8, 1, 10), (16, 10, 48), (16, 48, 10),
    (40, 5, 64), (4, 2, 511), (4, 2, 512), (4, 2, 513), (4, 512, 4), (1, 7, 9), (2, 7, 9),
    (70, 9, 33),
]  # fmt: skip
EXTREME, RANDOM = "extreme", "random"


@pytest.fixture(scope="module")
def elf(tmp_path_factory):
    return m0plus.build(tmp_path_factory.mktemp("m0plus"))


@pytest.fixture
def core(elf):
    return m0plus.Core(elf)


def operands(kind: str, shape, most: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    if kind == EXTREME:
        return random.choice(np.array([-most, most], np.int8), shape)
    return random.integers(-most, most + 1, shape).astype(np.int8)


def shift_before(bound: int) -> int:
    return max(0, bound.bit_length() - 15)


@pytest.mark.parametrize("kind", [RANDOM, EXTREME])
@pytest.mark.parametrize("relu", [0, 1])
@pytest.mark.parametrize("n, rows, cols", SHAPES)
def test_forward(core, n, rows, cols, relu, kind):
    random = np.random.default_rng(n + rows + cols)
    s = shift_before(cols * 127 * 127)
    w, x = (
        core.put(operands(kind, (rows, cols), 127, 1)),
        core.put(operands(kind, (n, cols), 127, 2)),
    )
    b = core.put(random.integers(-(1 << 14 << s), (1 << 14 << s) + 1, rows).astype(np.int32))
    m = core.put(random.integers(0, 32768, rows).astype(np.uint16))
    layer = core.struct("<IIIHHBBBx", w, b, m, rows, cols, s, 22, relu)
    results = []
    for name in ("dense_forward", "dense_forward_ref"):
        y = core.put(np.zeros((n, rows), np.int8))
        peak = core.call(name, layer, y, x, n) & 0xFFFFFFFF
        results.append((peak, core.get(y, np.int8, (n, rows)).tolist()))
    assert results[0] == results[1]


@pytest.mark.parametrize("kind", [RANDOM, EXTREME])
@pytest.mark.parametrize("masked", [0, 1])
@pytest.mark.parametrize("n, rows, cols", SHAPES)
def test_dx(core, n, rows, cols, masked, kind):
    s = shift_before(rows * 63 * 127)
    w, e = (
        core.put(operands(kind, (rows, cols), 127, 1)),
        core.put(operands(kind, (n, rows), 63, 2)),
    )
    mask = core.put(operands(RANDOM, (n, cols), 1, 3)) if masked else 0
    layer = core.struct("<IHHHHBBxx", w, rows, cols, cols, 25000, s, 21)
    results = []
    for name in ("dense_dx", "dense_dx_ref"):
        dx = core.put(np.full((n, cols), 99, np.int8))
        peak = core.call(name, layer, dx, e, mask, n) & 0xFFFFFFFF
        results.append((peak, core.get(dx, np.int8, (n, cols)).tolist()))
    assert results[0] == results[1]


@pytest.mark.parametrize("kind", [RANDOM, EXTREME])
@pytest.mark.parametrize("r", [9, 18, 30])  # the smallest shift clamps nearly every weight
@pytest.mark.parametrize("n, rows, cols", SHAPES)
def test_update(core, n, rows, cols, r, kind):
    random = np.random.default_rng(n + rows + cols)
    s = shift_before(n * 63 * 127)
    dy, x = core.put(operands(kind, (n, rows), 63, 1)), core.put(operands(kind, (n, cols), 127, 2))
    m = core.put(random.integers(0, 32768, rows).astype(np.uint16))
    weights = operands(kind, (rows, cols), 127, 3)
    results = []
    for name in ("dense_update", "dense_update_ref"):
        w, row_max = core.put(weights), core.put(np.zeros(rows, np.uint8))
        layer = core.struct("<IIIHHBBxxI", w, m, row_max, rows, cols, s, r, 12345)
        power = core.call(name, layer, dy, x, n, rows // 3, rows)
        found = core.get(w, np.int8, (rows, cols)), core.get(row_max, np.uint8, (rows,))
        results.append((power, *[each.tolist() for each in found]))
    assert results[0] == results[1]
