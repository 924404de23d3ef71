"""Latent and loss kernels against the oracle, and what they must be to serve training."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from tests.kernels import oracle
from tests.kernels.operands import (
    MULTIPLIER_MAX,
    batches,
    draws,
    examples,
    keys,
    multipliers,
    shifts,
    widths,
)
from tests.kernels.qnn_runner import same

firsts = st.integers(0, 1023)


def latent_forward(qnn, mu, logvar, key, first, m_mu, m_noise, r, before=0):
    n, width = mu.shape
    numbers = [width, key, first, m_mu, m_noise, r, n]
    peak, after = qnn.call("latent_forward", numbers, [np.zeros_like(mu), mu, logvar], before)
    return after[0], peak


@examples
@given(draws, widths, batches, keys, firsts, multipliers, multipliers, shifts)
def test_latent_forward(qnn, draw, width, n, key, first, m_mu, m_noise, r):
    mu, logvar = draw.int8(1, (n, width), 127), draw.int8(2, (n, width), 127)
    found = latent_forward(qnn, mu, logvar, key, first, m_mu, m_noise, r, draw.before)
    expected = oracle.latent_forward(mu, logvar, key, first, m_mu, m_noise, r)
    same(found[0], expected[0], "z[i][j]")
    assert found[1] == expected[1]


@examples
@given(draws, widths, batches, keys, firsts, multipliers, multipliers, shifts)
def test_latent_dlogvar(qnn, draw, width, n, key, first, m_dz, m_kl, r):
    dz, logvar = draw.int8(1, (n, width), 63), draw.int8(2, (n, width), 127)
    numbers = [width, key, first, m_dz, m_kl, r, n]
    d = np.zeros_like(dz)
    peak, after = qnn.call("latent_dlogvar", numbers, [d, dz, logvar], draw.before)
    expected = oracle.latent_dlogvar(dz, logvar, key, first, m_dz, m_kl, r)
    same(after[0], expected[0], "dlogvar[i][j]")
    assert peak == expected[1]


@pytest.mark.parametrize("sign", [1, -1])
def test_latent_kernels_at_their_limits(qnn, sign):
    # 2,000 words and the largest variance and multipliers: UBSan watches the sums.
    mu, logvar = np.full((1, 2000), 127 * sign, np.int8), np.full((1, 2000), 127, np.int8)
    dz = np.full((1, 2000), 63 * sign, np.int8)
    top = MULTIPLIER_MAX
    z, _ = latent_forward(qnn, mu, logvar, 1, 0, top, top, 30)
    same(z, oracle.latent_forward(mu, logvar, 1, 0, top, top, 30)[0], "z[i][j]")
    numbers = [2000, 1, 0, top, top, 30, 1]
    _, after = qnn.call("latent_dlogvar", numbers, [np.zeros_like(dz), dz, logvar])
    same(after[0], oracle.latent_dlogvar(dz, logvar, 1, 0, top, top, 30)[0], "dlogvar[i][j]")


def test_noise_belongs_to_the_sample_not_to_the_call(qnn):
    random = np.random.default_rng(1)
    mu, logvar = (random.integers(-127, 128, (7, 5)).astype(np.int8) for _ in range(2))
    whole, _ = latent_forward(qnn, mu, logvar, 9, 0, 300, 20000, 14)
    for cut in range(1, 7):
        head, _ = latent_forward(qnn, mu[:cut], logvar[:cut], 9, 0, 300, 20000, 14)
        tail, _ = latent_forward(qnn, mu[cut:], logvar[cut:], 9, cut, 300, 20000, 14)
        same(np.concatenate([head, tail]), whole, f"z cut at {cut}")


@examples
@given(draws, widths, multipliers, shifts)
def test_latent_kl(qnn, draw, count, m, r):
    mu, logvar = draw.int8(1, count, 127), draw.int8(2, count, 127)
    found, _ = qnn.call("latent_kl", [m, r, count], [mu, logvar], draw.before)
    assert found == oracle.latent_kl(mu, logvar, m, r)


@examples
@given(draws, widths, multipliers, shifts)
def test_bernoulli_loss(qnn, draw, count, m, r):
    logits, x = draw.int8(1, count, 127, -128), draw.int8(2, count, 127, -128)
    found, _ = qnn.call("bernoulli_loss", [m, r, count], [logits, x], draw.before)
    assert found == oracle.bernoulli_loss(logits, x, m, r)


@examples
@given(draws, widths, multipliers, shifts, multipliers, shifts)
def test_bernoulli_dlogits(qnn, draw, count, m, r, md, rd):
    logits, x = draw.int8(1, count, 127, -128), draw.int8(2, count, 127, -128)
    d = np.zeros(count, np.int8)
    numbers = [m, r, md, rd, count]
    peak, after = qnn.call("bernoulli_dlogits", numbers, [d, logits, x], draw.before)
    expected = oracle.bernoulli_dlogits(logits, x, m, r, md, rd)
    same(after[0], expected[0], "d[i]")
    assert peak == expected[1]


classes = st.one_of(st.integers(1, 20), st.sampled_from([255, 256, 1024]))


def labels_of(draw, n: int, count: int) -> np.ndarray:
    return draw.random(9).integers(0, min(count, 256), n).astype(np.uint8)


@examples
@given(draws, classes, st.integers(1, 4), multipliers, shifts)
def test_softmax_loss(qnn, draw, count, n, mx, rx):
    logits, labels = draw.int8(1, (n, count), 127), labels_of(draw, n, count)
    found, _ = qnn.call("softmax_loss", [count, mx, rx, n], [logits, labels], draw.before)
    assert found == oracle.softmax_loss(logits, labels, mx, rx)


@examples
@given(draws, classes, st.integers(1, 4), multipliers, shifts, multipliers, shifts)
def test_softmax_dlogits(qnn, draw, count, n, mx, rx, m, r):
    logits, labels = draw.int8(1, (n, count), 127), labels_of(draw, n, count)
    d = np.zeros_like(logits)
    numbers = [count, mx, rx, m, r, n]
    peak, after = qnn.call("softmax_dlogits", numbers, [d, logits, labels], draw.before)
    expected = oracle.softmax_dlogits(logits, labels, mx, rx, m, r)
    same(after[0], expected[0], "d[i][c]")
    assert peak == expected[1]


@examples
@given(draws, st.integers(1, 256), batches)
def test_argmax_is_the_first_of_the_largest(qnn, draw, count, n):
    logits = draw.int8(1, (n, count), 127, -128)
    _, after = qnn.call("argmax", [count, n], [np.zeros(n, np.uint8), logits], draw.before)
    same(after[0], oracle.argmax(logits), "labels[i]")


# What the arithmetic is worth: exact comparison cannot tell whether the contract itself is right.


def test_normal_samples_are_standard_normal():
    """All 65,536 words: the whole distribution, no sampling error."""
    z = oracle.normal(np.arange(65536)) / 4096
    assert z.mean() == 0  # the sign is a bit of its own
    assert z.var() == pytest.approx(1, abs=1e-3)  # the last table entry is chosen for it
    # 256 cells between quantiles, each linear: the largest gap is half a cell of the outermost.
    grid = stats.norm.ppf((np.arange(65536) + 0.5) / 65536)
    distance = np.abs(np.sort(z) - grid)
    assert distance[512:-512].max() < 0.01
    assert stats.kstest(z, "norm").statistic < 1 / 512


def test_noise_of_different_places_is_independent(qnn):
    """With mu 0 and logvar 0 z is the sample: mean, variance, correlation of 400,000 of them."""
    mu, logvar = np.zeros((400, 1000), np.int8), np.zeros((400, 1000), np.int8)
    # noise has 8 fraction bits; m / 2^r = 1/8 leaves 5, so that 4 sigma fit an int8
    z, _ = latent_forward(qnn, mu, logvar, oracle.key(1, 2, 3), 0, 0, 16384, 17)
    z = z / 32
    count = z.size
    assert abs(z.mean()) < 4 / np.sqrt(count)  # 4 standard errors
    # 4 standard errors of a variance, and 1/12 of the squared step of 1/32 from rounding;
    # clipping at 127/32 = 3.97 sigma takes less than 0.001
    assert abs(z.var() - 1 - 1 / 32**2 / 12) < 4 * np.sqrt(2 / count) + 0.001
    for shift in (1, 2, 4, 1000, 1001):
        product = (z.reshape(-1)[:-shift] * z.reshape(-1)[shift:]).mean()
        assert abs(product) < 4 / np.sqrt(count), shift


def test_stochastic_rounding_is_unbiased(qnn):
    """A step of a fraction of one unit moves the mean of 65,536 weights by that fraction."""
    for numerator in (1, 3, 64, 127, 128, 200, 255):
        w = np.zeros((64, 1024), np.int8)
        m = np.full(64, numerator, np.uint16)
        dy, x = np.ones((1, 64), np.int8), np.ones((1, 1024), np.int8)
        row_max = np.zeros(64, np.uint8)
        numbers = [64, 1024, 0, 9, oracle.key(5, numerator, 0), 1, 0, 64]
        _, after = qnn.call("dense_update", numbers, [w, m, row_max, dy, x])
        p = numerator / 512  # every weight steps down by 1 with this probability
        # 4 standard errors of a proportion; the dither's 256 values lie halfway between
        # multiples of 1/256, so that p of an odd numerator is off by up to 1/512.
        tolerance = 4 * np.sqrt(p * (1 - p) / w.size) + (numerator % 2) / 512
        assert abs(-after[0].mean(dtype=float) - p) < tolerance, numerator


def test_dither_has_no_bias_at_all():
    """Over the 256 values of u the mean of (v + dither) >> r is v / 2^r, exactly, on u's grid."""
    u = np.arange(256)
    for v in range(-600, 600, 2):
        assert ((v + 2 * u + 1) >> 9).sum() * 512 == 256 * v


def test_rescaling_is_unbiased(qnn):
    w = np.full(200_000, 80, np.int8)
    up = qnn.call("rescale_row", [w.size, 17408, 11, 0], [w])[1][0].mean(dtype=float)
    down = qnn.call("rescale_row", [w.size, 15420, 11, 0], [w])[1][0].mean(dtype=float)
    # 80 * 17/16 = 85 exactly; 80 * 15420 / 2^14 = 75.293, 4 standard errors of a proportion
    assert up == 85
    assert abs(down - 80 * 15420 / 2**14) < 4 * np.sqrt(0.25 / w.size)


def test_losses_are_the_fields():
    """Cross-entropies and divergence in nats, against float64."""
    logits = np.arange(-127, 128, dtype=np.int8)
    for x in (0, 1, 64, 127):
        t = x / 127
        m, r = 16513, 6  # 2^15 / 127 = 258.016 with 15 bits
        for logit in logits[::5]:
            found = oracle.bernoulli_loss(np.array([logit]), np.array([x]), m, r) / 4096
            v = logit / 16
            # t is off by 2^-15 and a rounded multiplier; |v| < 8
            assert found == pytest.approx(np.logaddexp(0, v) - t * v, abs=0.002)
    random = np.random.default_rng(3)
    logits = random.integers(-127, 128, (50, 10)).astype(np.int8)
    labels = random.integers(0, 10, 50).astype(np.uint8)
    found = oracle.softmax_loss(logits, labels, 16384, 14) / 4096
    v = logits / 16
    expected = (np.log(np.exp(v).sum(1)) - v[np.arange(50), labels]).sum()
    # a sample: the logarithm's chords (1/32)^2 / 8 = 0.00012, its rounding 0.0002, the sum of
    # exp 0.0003
    assert found == pytest.approx(expected, abs=50 * 0.0007)
    mu, logvar = logits[:, :5].reshape(-1), np.arange(-96, 64, 2, dtype=np.int8)
    mu = np.resize(mu, logvar.shape)
    found = oracle.latent_kl(mu, logvar, 16384, 10) / 4096  # mu of scale 1/16: 2^-8 * 2^12 = 2^4
    real = (np.exp(logvar / 16) + (mu / 16) ** 2 - 1 - logvar / 16).sum() / 2
    assert found == pytest.approx(real, abs=logvar.size * 0.0006)  # variance has 9 fraction bits
