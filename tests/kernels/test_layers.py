"""Layers: scales, ranges and steps against a model in Python, over several steps."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kernels import layer_model, oracle
from tests.kernels.layer_model import INPUT_ERROR, OUTPUT, POWER, SCALED_ERROR, Dense
from tests.kernels.operands import batches, draws, examples, widths
from tests.kernels.qnn_runner import same

from fieldtune.model import reference, scale

TURN_MACS = 60_000
mantissas = st.integers(32768, 65535)
ordinary = st.builds(lambda m, e: (e << 16) | m, mantissas, st.integers(-30, -15))
any_scale = st.builds(lambda m, e: (e << 16) | m, mantissas, st.integers(-127, 127))
X_SCALE, DY_SCALE, RATE = scale.encode(1 / 127), scale.encode(0.001), scale.encode(0.02)


def words(values) -> np.ndarray:
    return np.array(values, np.int32)


class Board:
    """The C layer beside its model: every call runs in both, and nothing may differ."""

    def __init__(self, qnn, model: Dense):
        self.qnn, self.model = qnn, model

    def call(self, name: str, numbers, arrays, before: int = 0):
        model = self.model
        rows, cols = model.weight.shape
        tensors = [model.weight, words(model.scales), words(model.biases), words(model.state)]
        tensors.append(np.full(2 * rows, -1, np.int32))  # DENSE_SCRATCH: 8 bytes a row
        head = [rows, cols, model.relu, model.output_scale, model.tensor]
        result, after = self.qnn.call(name, head + numbers, tensors + arrays, before)
        self.after = after[:4]
        return result, after[5:]

    def agree(self, what: str) -> None:
        model = self.model
        same(self.after[0], model.weight, f"{what}: weight")
        same(self.after[1], words(model.scales), f"{what}: scale")
        same(self.after[2], words(model.biases), f"{what}: bias")
        same(self.after[3], words(model.state), f"{what}: state")

    def forward(self, x, x_scale, train=True, before=0):
        y = np.zeros((len(x), len(self.model.weight)), np.int8)
        found, after = self.call("dense_layer_forward", [len(x), x_scale, train], [y, x], before)
        expected, y_scale = self.model.forward(x, x_scale, train)
        same(after[0], expected, "y")
        assert found == y_scale
        self.agree("forward")
        return expected, y_scale

    def backward(self, dy, dy_scale, mask=None, before=0):
        dx = np.zeros((len(dy), self.model.weight.shape[1]), np.int8)
        arrays = [dx, np.zeros_like(dy), dy, mask]
        found, after = self.call("dense_layer_backward", [len(dy), dy_scale], arrays, before)
        expected, dx_scale, e = self.model.backward(dy, dy_scale, mask)
        same(after[1], e, "e")
        same(after[0], expected, "dx")
        assert found == dx_scale
        self.agree("backward")
        return expected, dx_scale

    def update(self, dy, x, dy_scale, x_scale, rate, seed=1, step=0, before=0):
        numbers = [len(dy), dy_scale, x_scale, rate, seed, step]
        self.call("dense_layer_update", numbers, [dy, x], before)
        self.model.update(dy, x, dy_scale, x_scale, rate, seed, step)
        self.agree("update")


def layer(rows: int, cols: int, seed: int = 0, **fields) -> Dense:
    """An ordinary layer that nothing has been learnt of yet."""
    random = np.random.default_rng(seed)
    weight = random.integers(-120, 121, (rows, cols)).astype(np.int8)
    scales = [scale.encode(each) for each in random.uniform(0.001, 0.003, rows)]
    biases = random.integers(-20000, 20000, rows).tolist()
    return Dense(weight, scales, biases, [0] * 5, **fields)


def batch(rows: int, cols: int, n: int, seed: int = 0):
    """x int8 [n, cols], dy int8 [n, rows]."""
    random = np.random.default_rng([seed, 7])
    x = random.integers(0, 128, (n, cols)).astype(np.int8)
    return x, random.integers(-63, 64, (n, rows)).astype(np.int8)


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize(("rows", "cols", "n"), [(1, 1, 1), (10, 48, 16), (7, 13, 5)])
def test_a_dense_layer_over_some_steps(qnn, rows, cols, n, relu):
    board = Board(qnn, layer(rows, cols, relu=relu, tensor=3))
    for step in range(6):
        x, dy = batch(rows, cols, n, step)
        board.forward(x, X_SCALE)
        board.backward(dy, DY_SCALE, mask=x if step % 2 else None)
        board.update(dy, x, DY_SCALE, X_SCALE, RATE, seed=9, step=step)
    assert all(board.model.state[i] for i in (OUTPUT, SCALED_ERROR, INPUT_ERROR, POWER))


# The second is cut by rows in forward and update, the third by columns in dx; 40 x 4096 > 60,000.
@pytest.mark.parametrize(("rows", "cols", "n"), [(70, 300, 9), (40, 4096, 2), (4096, 40, 2)])
def test_pieces_change_nothing_and_every_piece_gives_its_turn(qnn, rows, cols, n):
    board = Board(qnn, layer(rows, cols))
    x, dy = batch(rows, cols, n)
    least = rows * cols * n / TURN_MACS
    qnn.call("turns", [])
    board.forward(x, X_SCALE)
    assert qnn.call("turns", [])[0] >= 2 * least  # the first batch is measured first
    board.backward(dy, DY_SCALE)
    assert qnn.call("turns", [])[0] >= 2 * least
    board.update(dy, x, DY_SCALE, X_SCALE, RATE)
    assert qnn.call("turns", [])[0] >= 2 * least


@examples
@given(draws, widths, widths, batches, ordinary, ordinary, ordinary, ordinary)
def test_a_dense_layer_of_ordinary_scales(qnn, draw, rows, cols, n, x_scale, dy_scale, rate, w):
    model = layer(rows, cols, draw.seed, relu=draw.seed % 2 == 1)
    model.weight = draw.int8(1, (rows, cols), 127)
    model.scales = [scale.multiply(w, each) for each in model.scales]
    x, dy = draw.int8(2, (n, cols), 127), draw.int8(3, (n, rows), 63)
    board = Board(qnn, model)
    for step in range(3):
        board.forward(x, x_scale, before=draw.before)
        board.backward(dy, dy_scale, before=draw.before)
        board.update(dy, x, dy_scale, x_scale, rate, draw.seed, step, draw.before)


@examples
@given(draws, st.integers(1, 9), st.integers(1, 9), any_scale, any_scale, any_scale, st.data())
def test_a_dense_layer_of_any_scales(qnn, draw, rows, cols, x_scale, dy_scale, rate, data):
    """Absurd but valid files: every multiplier saturates, nothing leaves int32."""
    model = layer(rows, cols, draw.seed)
    model.scales = data.draw(st.lists(any_scale, min_size=rows, max_size=rows))
    biases = st.integers(-(2**31), 2**31 - 1)
    model.biases = data.draw(st.lists(biases, min_size=rows, max_size=rows))
    model.state = data.draw(st.lists(st.one_of(st.just(0), any_scale), min_size=5, max_size=5))
    x, dy = draw.int8(2, (2, cols), 127), draw.int8(3, (2, rows), 63)
    board = Board(qnn, model)
    board.forward(x, x_scale)
    board.backward(dy, dy_scale)
    board.update(dy, x, dy_scale, x_scale, rate)


def test_a_fixed_output_scale_is_kept(qnn):
    board = Board(qnn, layer(4, 6, output_scale=scale.encode(1 / 16)))
    _, y_scale = board.forward(batch(4, 6, 3)[0], X_SCALE)
    assert y_scale == scale.encode(1 / 16)
    assert board.model.state[OUTPUT] == 0


def test_inference_leaves_a_known_range_alone(qnn):
    board = Board(qnn, layer(4, 6))
    board.forward(batch(4, 6, 3)[0], X_SCALE)
    before = list(board.model.state)
    board.forward(batch(4, 6, 3, seed=5)[0], X_SCALE, train=False)
    assert board.model.state == before


def test_the_first_batch_measures_its_range(qnn):
    """127 steps of the output's scale are its largest magnitude, as near as scales are rounded."""
    board = Board(qnn, layer(4, 6))
    x, _ = batch(4, 6, 3)
    y, _ = board.forward(x, X_SCALE, train=False)
    model = board.model
    real = model.weight.astype(float).T * [scale.decode(each) for each in model.scales]
    sums = x * scale.decode(X_SCALE) @ real + np.array(model.biases) / 2**16
    assert scale.decode(model.state[OUTPUT]) == pytest.approx(np.abs(sums).max(), rel=1e-3)
    assert np.abs(y.astype(int)).max() == 127


def test_zero_gradients_leave_ranges_and_weights_alone(qnn):
    board = Board(qnn, layer(5, 7))
    x, dy = batch(5, 7, 4)
    board.backward(dy, DY_SCALE)
    board.update(dy, x, DY_SCALE, X_SCALE, RATE)
    board.model.weight[:] = np.where(np.arange(7) == 0, 100, board.model.weight // 2)  # no rescale
    before = replace(board.model, weight=board.model.weight.copy(), state=list(board.model.state))
    none = np.zeros_like(dy)
    board.backward(none, DY_SCALE)
    board.update(none, x, DY_SCALE, X_SCALE, RATE)
    assert board.model.state == before.state
    assert board.model.biases == before.biases
    same(board.model.weight, before.weight, "weight")


def test_a_first_batch_without_gradient_measures_nothing(qnn):
    board = Board(qnn, layer(5, 7))
    board.update(np.zeros((4, 5), np.int8), batch(5, 7, 4)[0], DY_SCALE, X_SCALE, RATE)
    assert board.model.state[POWER] == 0


def test_rate_zero_does_nothing(qnn):
    board = Board(qnn, layer(5, 7))
    x, dy = batch(5, 7, 4)
    weight = board.model.weight.copy()
    board.update(dy, x, DY_SCALE, X_SCALE, 0)
    same(board.model.weight, weight, "weight")
    assert board.model.state == [0] * 5


@pytest.mark.parametrize(
    ("largest", "factor"), [(89, 16 / 17), (90, 1), (123, 1), (124, 17 / 16), (127, 17 / 16)]
)
def test_rows_are_rescaled_under_90_and_from_124(qnn, largest, factor):
    model = layer(3, 40)
    model.weight = np.full((3, 40), largest, np.int8)
    model.scales = [scale.encode(1 / 64)] * 3
    model.state[POWER] = scale.ONE
    board = Board(qnn, model)
    # A gradient of zero: weights stay, the row's largest magnitude is seen, the grid changes.
    x, dy = np.zeros((2, 40), np.int8), np.zeros((2, 3), np.int8)
    board.update(dy, x, DY_SCALE, X_SCALE, RATE)
    found = [scale.decode(each) * 64 for each in model.scales]
    assert found == pytest.approx([factor] * 3, rel=2**-15)  # a mantissa has 16 bits
    # Stochastically rounded to the neighbours of the value on the new grid.
    assert np.abs(model.weight - largest / factor).max() < 1


def test_no_grid_becomes_finer_than_a_64th_of_the_coarsest(qnn):
    model = layer(2, 8)
    model.weight[:] = 10
    model.scales = [scale.encode(1.0), scale.encode(1 / 64)]
    model.state[POWER] = scale.ONE
    board = Board(qnn, model)
    board.update(np.zeros((1, 2), np.int8), np.zeros((1, 8), np.int8), DY_SCALE, X_SCALE, RATE)
    assert scale.decode(model.scales[0]) < 1
    assert model.scales[1] == scale.encode(1 / 64)


@pytest.mark.parametrize(("cols", "n"), [(4096, 1), (1, 1024), (64, 1024)])
def test_worst_cases_of_width_and_batch(qnn, cols, n):
    """All operands extreme and of one sign, biases at their ends: sums as large as they can be."""
    for sign in (1, -1):
        model = layer(2, cols)
        model.weight[:] = 127
        model.biases = [sign * (2**31 - 1), -sign * (2**31 - 1)]
        board = Board(qnn, model)
        x, dy = np.full((n, cols), 127 * sign, np.int8), np.full((n, 2), 63, np.int8)
        board.forward(x, X_SCALE)
        board.backward(dy, DY_SCALE)
        board.update(dy, x, DY_SCALE, X_SCALE, RATE)


@pytest.mark.parametrize("sign", [1, -1])
def test_worst_case_of_rows(qnn, sign):
    board = Board(qnn, layer(4096, 3))
    board.model.weight[:] = 127 * sign
    board.backward(np.full((2, 4096), 63, np.int8), DY_SCALE)


@examples
@given(draws, widths, any_scale, any_scale, st.one_of(st.just(0), any_scale), st.booleans())
def test_errors_add(qnn, draw, count, a_scale, b_scale, known, masked):
    a, b = draw.int8(1, count, 63), draw.int8(2, count, 127)
    mask = draw.int8(3, count, 127) if masked else None
    state = [known]
    expected, d_scale = layer_model.errors_add(a, b, mask, a_scale, b_scale, state)
    arrays = [np.zeros_like(a), a, b, mask, words([known])]
    found, after = qnn.call("errors_add", [a_scale, b_scale, count], arrays, draw.before)
    same(after[0], expected, "d")
    assert (found, after[4].tolist()) == (d_scale, state)


@examples
@given(draws, widths, batches, ordinary, ordinary, st.one_of(any_scale, ordinary))
def test_a_latent_layer_over_some_steps(qnn, draw, width, n, mu_scale, dz_scale, beta):
    mu, logvar = draw.int8(1, (n, width), 127), draw.int8(2, (n, width), 127)
    dz, state = draw.int8(3, (n, width), 63), [0] * 3
    for step in range(3):
        train = step != 1
        key, before = oracle.key(5, step, 2), list(state)
        z, z_scale = layer_model.latent_forward(mu, logvar, mu_scale, key, state, train)
        arrays = [words(before), np.zeros_like(mu), mu, logvar]
        numbers = [beta, width, 2, n, mu_scale, 5, step, train]
        found, after = qnn.call("latent_layer_forward", numbers, arrays, draw.before)
        same(after[1], z, "z")
        assert (found, after[0].tolist()) == (z_scale, state)

        before = list(state)
        expected = layer_model.latent_backward(
            dz, mu, logvar, dz_scale, mu_scale, beta, key, state
        )
        arrays = [words(before), *np.zeros((2, n, width), np.int8), words([0, 0]), dz, mu, logvar]
        numbers = [beta, width, 2, n, dz_scale, mu_scale, 5, step]
        _, after = qnn.call("latent_layer_backward", numbers, arrays, draw.before)
        same(after[1], expected[0], "dmu")
        same(after[2], expected[2], "dlogvar")
        assert after[3].tolist() == [expected[1], expected[3]]
        assert after[0].tolist() == state


@examples
@given(draws, st.integers(1, 300), any_scale)
def test_losses(qnn, draw, count, of_scale):
    a, b = draw.int8(1, count, 127), draw.int8(2, count, 127)
    logits = reference.Tensor(a, scale.encode(1 / 16))
    found, _ = qnn.call("latent_layer_kl", [count, of_scale], [b, a], draw.before)
    assert found == reference.kl(reference.Tensor(b, of_scale), logits)
    m, r = layer_model.fixed_point(scale.multiply(of_scale, of_scale), scale.from_integer(1, -12))
    assert found == oracle.latent_kl(b, a, m, r)
    found, _ = qnn.call("bernoulli_layer_loss", [count, of_scale], [a, b], draw.before)
    assert found == reference.bernoulli_loss(logits, reference.Tensor(b, of_scale))
    m, r = layer_model.fixed_point(of_scale, scale.from_integer(1, -15))
    assert found == oracle.bernoulli_loss(a, b, m, r)


@examples
@given(draws, batches, st.integers(1, 256), any_scale, st.one_of(st.just(0), any_scale))
def test_errors_of_the_losses(qnn, draw, n, classes, of_scale, known):
    logits, x = draw.int8(1, (n, classes), 127), draw.int8(2, (n, classes), 127)
    state = [known]
    expected, d_scale = layer_model.bernoulli_backward(logits, x, of_scale, state)
    arrays = [np.zeros_like(logits), logits, x, words([known])]
    found, after = qnn.call("bernoulli_layer_backward", [x.size, of_scale], arrays, draw.before)
    same(after[0], expected, "d of bernoulli")
    assert (found, after[3].tolist()) == (d_scale, state)

    labels = draw.random(9).integers(0, classes, n).astype(np.uint8)
    state = [known]
    expected, d_scale = layer_model.softmax_backward(logits, labels, of_scale, state)
    arrays = [np.zeros_like(logits), logits, labels, words([known])]
    numbers = [classes, n, of_scale]
    found, after = qnn.call("softmax_layer_backward", numbers, arrays, draw.before)
    same(after[0], expected, "d of softmax")
    assert (found, after[3].tolist()) == (d_scale, state)
    found, _ = qnn.call("softmax_layer_loss", numbers, [logits, labels], draw.before)
    m, r = layer_model.fixed_point(of_scale, scale.from_integer(1, -4))
    assert found == oracle.softmax_loss(logits, labels, m, r)


@examples
@given(st.lists(st.integers(0, 2**32 - 1), min_size=3, max_size=3))
def test_random_key(qnn, numbers):
    assert qnn.call("random_key", numbers)[0] == oracle.key(*numbers)
