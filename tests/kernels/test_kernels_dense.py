"""Dense layers' kernels: forward, errors, gradient and step, against the oracle."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kernels import oracle
from tests.kernels.operands import (
    MULTIPLIER_MAX,
    batches,
    draws,
    examples,
    keys,
    multipliers,
    shift_for,
    shifts,
    widths,
)
from tests.kernels.qnn_runner import Stopped, same


def forward(qnn, w, b, m, s, r, relu, x, before=0):
    rows, cols = w.shape
    y = np.full((len(x), rows), 99, np.int8)
    peak, after = qnn.call(
        "dense_forward", [rows, cols, s, r, relu, len(x)], [w, b, m, y, x], before
    )
    for given_, kept in zip((w, b, m), after[:3], strict=True):
        same(kept, given_, "what forward only reads")
    return after[3], peak


def largest_bias(s: int) -> int:
    """Half of what may stand in front of the first shift: layers keep to it."""
    return (1 << (14 + s)) + oracle.half(s)


@examples
@given(draws, widths, widths, batches, shifts, st.booleans())
def test_forward(qnn, draw, rows, cols, n, r, relu):
    w, x = draw.int8(1, (rows, cols), 127), draw.int8(2, (n, cols), 127)
    s = shift_for(cols * 127 * 127)
    bound = largest_bias(s)
    b = draw.random(3).integers(-bound, bound + 1, rows).astype(np.int32)
    m = draw.multipliers(4, rows)
    found = forward(qnn, w, b, m, s, r, relu, x, draw.before)
    expected = oracle.dense_forward(w, b, m, s, r, relu, x)
    same(found[0], expected[0], "y[i][o]")
    assert found[1] == expected[1]


# With |acc + b| >> s at 49151 and r = 30 the rounded product comes closest to 2^31.
@pytest.mark.parametrize("r", [1, 30])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("cols", [1, 3, 1023, 4096])
def test_forward_at_its_limits(qnn, cols, sign, r):
    w = np.full((2, cols), 127, np.int8)
    x = np.full((1, cols), 127 * sign, np.int8)
    s = shift_for(cols * 127 * 127)
    b = np.array([sign * largest_bias(s), -sign * largest_bias(s)], np.int32)
    m = np.array([MULTIPLIER_MAX, MULTIPLIER_MAX], np.uint16)
    same(forward(qnn, w, b, m, s, r, 0, x)[0], oracle.dense_forward(w, b, m, s, r, 0, x)[0])


def test_relu_ignores_negative_results_in_its_peak(qnn):
    w, x = np.array([[-127], [1]], np.int8), np.array([[127]], np.int8)
    b, m = np.zeros(2, np.int32), np.array([100, 100], np.uint16)
    y, peak = forward(qnn, w, b, m, 0, 8, 1, x)
    assert (y.tolist(), peak) == ([[0, 50]], 12700)  # 127 * 100 / 256 = 49.6
    y, peak = forward(qnn, w, b, m, 0, 8, 0, x)
    assert (y.tolist(), peak) == ([[-127, 50]], 127 * 127 * 100)


def test_a_half_rounds_up(qnn):
    # 1 * m / 2^r of 1/2, 3/2 and -1/2, -3/2
    w = np.array([[1], [3], [-1], [-3]], np.int8)
    m = np.ones(4, np.uint16)
    y, _ = forward(qnn, w, np.zeros(4, np.int32), m, 0, 1, 0, np.array([[1]], np.int8))
    assert y.tolist() == [[1, 2, 0, -1]]


@examples
@given(draws, widths, batches, shifts)
def test_scale_rows(qnn, draw, rows, n, r):
    dy, m = draw.int8(1, (n, rows), 63), draw.multipliers(2, rows)
    e = np.zeros_like(dy)
    peak, after = qnn.call("scale_rows", [r, n, rows], [e, dy, m], draw.before)
    expected = oracle.scale_rows(dy, m, r)
    same(after[0], expected[0], "e[i][o]")
    assert peak == expected[1]


def dx_of(qnn, w, cols, m, s, r, e, mask, before=0):
    """The first `cols` columns of w."""
    rows, stride = w.shape
    # From one row to the next is `stride`; the last row ends where its columns do.
    flat = w.reshape(-1)[: (rows - 1) * stride + cols].copy()
    dx = np.full((len(e), cols), 99, np.int8)
    peak, after = qnn.call(
        "dense_dx", [rows, cols, stride, m, s, r, len(e)], [flat, dx, e, mask], before
    )
    same(after[0], flat, "the weights")
    return after[1], peak


@examples
@given(draws, widths, widths, widths, batches, multipliers, shifts, st.booleans())
def test_dx(qnn, draw, rows, cols, extra, n, m, r, masked):
    stride = cols + extra - 1
    w, e = draw.int8(1, (rows, stride), 127), draw.int8(2, (n, rows), 63)
    mask = draw.int8(3, (n, cols), 127) if masked else None
    s = shift_for(rows * 63 * 127)
    found = dx_of(qnn, w, cols, m, s, r, e, mask, draw.before)
    expected = oracle.dense_dx(w[:, :cols], m, s, r, e, mask)
    same(found[0], expected[0], "dx[i][k]")
    assert found[1] == expected[1]


@pytest.mark.parametrize("r", [1, 30])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("rows", [1, 4, 1023, 4096])
def test_dx_at_its_limits(qnn, rows, sign, r):
    w, e = np.full((rows, 3), 127, np.int8), np.full((1, rows), 63 * sign, np.int8)
    s = shift_for(rows * 63 * 127)
    found = dx_of(qnn, w, 3, MULTIPLIER_MAX, s, r, e, None)
    same(found[0], oracle.dense_dx(w, MULTIPLIER_MAX, s, r, e)[0], "dx[i][k]")


def test_a_masked_error_is_zero_and_not_tracked(qnn):
    w, e = np.array([[100, 1]], np.int8), np.array([[63]], np.int8)
    dx, peak = dx_of(qnn, w, 2, 2, 0, 1, e, np.array([[0, 1]], np.int8))
    assert (dx.tolist(), peak) == ([[0, 63]], 126)


def update(qnn, w, m, s, r, key, dy, x, first=0, end=None, before=0):
    rows, cols = w.shape
    end = rows if end is None else end
    row_max = np.full(rows, 77, np.uint8)
    power, after = qnn.call(
        "dense_update",
        [rows, cols, s, r, key, len(dy), first, end],
        [w, m, row_max, dy, x],
        before,
    )
    untouched = [each for each in range(rows) if not first <= each < end]
    same(after[2][untouched], row_max[untouched], "row_max outside of the rows")
    return after[0], after[2][first:end], power


@examples
@given(draws, widths, widths, batches, st.integers(9, 30), keys, st.data())
def test_update(qnn, draw, rows, cols, n, r, key, data):
    w = draw.int8(1, (rows, cols), 127)
    dy, x = draw.int8(2, (n, rows), 63), draw.int8(3, (n, cols), 127)
    m, s = draw.multipliers(4, rows), shift_for(n * 63 * 127)
    first = data.draw(st.integers(0, rows))
    end = data.draw(st.integers(first, rows))
    found = update(qnn, w, m, s, r, key, dy, x, first, end, draw.before)
    if first == end:
        same(found[0], w, "w without a row")
        assert found[2] == 0
        return
    expected = oracle.dense_update(w, m, s, r, key, dy, x, first, end)
    same(found[0], expected[0], "w[o][k]")
    same(found[1], expected[1], "row_max[o]")
    assert found[2] == expected[2]


@examples
@given(draws, st.integers(2, 40), widths, batches, keys, st.data())
def test_row_ranges_give_what_one_call_gives(qnn, draw, rows, cols, n, key, data):
    w = draw.int8(1, (rows, cols), 127)
    dy, x = draw.int8(2, (n, rows), 63), draw.int8(3, (n, cols), 127)
    m, s, r = draw.multipliers(4, rows), shift_for(n * 63 * 127), 20
    whole = update(qnn, w, m, s, r, key, dy, x)
    cut = data.draw(st.integers(1, rows - 1))
    after, top, power = update(qnn, w, m, s, r, key, dy, x, cut, rows)
    after, low, more = update(qnn, after, m, s, r, key, dy, x, 0, cut)
    same(after, whole[0], "w[o][k]")
    same(np.concatenate([low, top]), whole[1], "row_max[o]")
    assert power + more == whole[2]


# |g| comes closest to 2^15 where n * 63 * 127 is just below a power of two; the dither is
# largest at r = 30.
@pytest.mark.parametrize("r", [9, 30])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("n", [1, 3, 4, 65, 131, 524, 1023, 1024])
def test_update_at_its_limits(qnn, n, sign, r):
    w = np.array([[127, -127, 0, 1, -1]], np.int8)
    dy, x = np.full((n, 1), 63 * sign, np.int8), np.full((n, 5), 127, np.int8)
    m, s = np.array([MULTIPLIER_MAX], np.uint16), shift_for(n * 63 * 127)
    found = update(qnn, w, m, s, r, 7, dy, x)
    expected = oracle.dense_update(w, m, s, r, 7, dy, x)
    same(found[0], expected[0], "w[o][k]")
    same(found[1], expected[1], "row_max[o]")
    assert found[2] == expected[2]


def test_no_gradient_exceeds_15_bits():
    # What kernels.h promises of g, for every batch that the binding lets through.
    for n in range(1, 1025):
        s = shift_for(n * 63 * 127)
        assert (n * 63 * 127 + oracle.half(s)) >> s <= 32767, n


def test_a_step_of_zero_measures_and_changes_nothing(qnn):
    random = np.random.default_rng(1)
    w = random.integers(-127, 128, (6, 13)).astype(np.int8)
    dy = random.integers(-63, 64, (4, 6)).astype(np.int8)
    x = random.integers(-127, 128, (4, 13)).astype(np.int8)
    after, row_max, power = update(qnn, w, np.zeros(6, np.uint16), 0, 9, 3, dy, x)
    same(after, w, "w[o][k]")
    same(row_max, np.abs(w).max(1), "row_max[o]")
    assert power == int(((dy.astype(int).T @ x.astype(int)) ** 2).sum())


@examples
@given(draws, widths, st.sampled_from([17408, 15420]), keys, st.integers(0, 4095))
def test_rescale_row(qnn, draw, cols, m, key, row):
    w = draw.int8(1, cols, 127)
    _, after = qnn.call("rescale_row", [cols, m, key, row], [w], draw.before)
    same(after[0], oracle.rescale_row(w, m, key, row), "w[k]")


@examples
@given(draws, widths, multipliers, multipliers, shifts, st.booleans())
def test_add_errors(qnn, draw, count, ma, mb, r, masked):
    a, b = draw.int8(1, count, 127), draw.int8(2, count, 127)
    mask = draw.int8(3, count, 127) if masked else None
    d = np.zeros(count, np.int8)
    peak, after = qnn.call("add_errors", [ma, mb, r, count], [d, a, b, mask], draw.before)
    expected = oracle.add_errors(a, b, mask, ma, mb, r)
    same(after[0], expected[0], "d[i]")
    assert peak == expected[1]


@pytest.mark.parametrize(("name", "lacks"), [("w", 0), ("b", 1), ("m", 2), ("y", 3), ("x", 4)])
def test_the_runner_sees_one_byte_too_few(qnn, name, lacks):
    arrays = [
        np.ones((2, 5), np.int8),
        np.ones(2, np.int32),
        np.ones(2, np.uint16),
        np.ones((3, 2), np.int8),
        np.ones((3, 5), np.int8),
    ]
    arrays[lacks] = arrays[lacks].reshape(-1)[:-1].copy()
    with pytest.raises(Stopped, match="heap-buffer-overflow"):
        qnn.call("dense_forward", [2, 5, 0, 1, 0, 3], arrays, before=1)


def test_the_runner_sees_an_overflow(qnn):
    with pytest.raises(Stopped, match="signed integer overflow"):
        qnn.call("add", [2**31 - 1, 1])
