"""What kernels.h says, in numpy with 64-bit integers: the judge of every implementation.

Arrays are int8 unless said otherwise; every function returns what the kernel writes, then what it
returns. Two things that kernels.h leaves to a word are spelt out here: how `normal` interpolates
and how `ln` is read from its table.
"""

import re
from math import exp, log, log1p

import numpy as np
from tests.kernels.qnn_runner import QNN

ACTIVATION, ERROR = 127, 63
WORD = 0xFFFFFFFF


def table(name: str) -> np.ndarray:
    """A table of tables.h as int64."""
    body = re.search(rf"{name}\[\d+\] = {{([^}}]*)}}", (QNN / "tables.h").read_text())[1]
    return np.array([int(each) for each in body.split(",") if each.strip()])


def _by_formula(function, count: int, first: int, one: int) -> np.ndarray:
    return np.array([round(one * function((first + i) / 16)) for i in range(count)])


SIGMOID = _by_formula(lambda v: 1 / (1 + exp(-v)), 256, -128, 1 << 15)
SOFTPLUS = _by_formula(lambda v: log1p(exp(v)), 256, -128, 1 << 12)
EXP = _by_formula(lambda v: exp(-v), 256, 0, 1 << 15)
SIGMA = _by_formula(lambda v: exp(v / 2), 161, -96, 1 << 12)
VARIANCE = _by_formula(exp, 161, -96, 1 << 9)
NORMAL = table("normal_q12")
LN = np.array([round(4096 * log(1 + i / 32)) for i in range(33)])
LN2_Q12 = round(4096 * log(2))


def wide(array) -> np.ndarray:
    return np.asarray(array, np.int64)


def rounded(t, r, limit, low=None):
    """clamp((t + 2^(r-1)) >> r) as int8."""
    low = -limit if low is None else low
    return np.clip((t + (1 << (r - 1))) >> r, low, limit).astype(np.int8)


def peak(t) -> int:
    return int(np.abs(t).max(initial=0))


def half(s: int) -> int:
    return 1 << (s - 1) if s else 0


# Random words


def mix(h, v):
    h = ((h ^ v) * 0x9E3779B1) & WORD
    h = ((h ^ h >> 15) * 0x85EBCA77) & WORD
    return h ^ h >> 13


def key(seed: int, step: int, tensor: int) -> int:
    return mix(mix(mix(0x165667B1, seed & WORD), step & WORD), tensor & WORD)


def row_bytes(key: int, rows, cols: int) -> np.ndarray:
    """u of every weight of the given rows: int64 [rows, cols]."""
    state = mix(key, wide(rows))
    state[state == 0] = 1
    words = []
    for _ in range((cols + 3) // 4):
        state = state ^ (state << 13) & WORD
        state = state ^ state >> 17
        state = state ^ (state << 5) & WORD
        words.append(state)
    parts = np.stack([word >> 8 * i & 0xFF for word in words for i in range(4)], axis=1)
    return parts[:, :cols]


# Dense


def dense_forward(w, b, m, s, r, relu, x):
    """y [n, rows], peak."""
    t = ((wide(x) @ wide(w).T + b) >> s) * m
    seen = np.maximum(t, 0) if relu else t
    return rounded(t, r, ACTIVATION, 0 if relu else None), peak(seen)


def scale_rows(dy, m, r):
    """e [n, rows], peak."""
    t = wide(dy) * wide(m)
    return rounded(t, r, ERROR), peak(t)


def dense_dx(w, m, s, r, e, mask=None):
    """dx [n, cols], peak."""
    t = ((wide(e) @ wide(w) + half(s)) >> s) * m
    t = t if mask is None else np.where(mask > 0, t, 0)
    dx = rounded(t, r, ERROR)
    return (dx if mask is None else np.where(mask > 0, dx, 0).astype(np.int8)), peak(t)


def dense_update(w, m, s, r, key, dy, x, first=0, end=None):
    """w [rows, cols], row_max uint8 of rows first..end-1, sum of the gradient's squares."""
    end = len(w) if end is None else end
    rows = np.arange(first, end)
    g = (wide(dy)[:, first:end].T @ wide(x) + half(s)) >> s
    dither = (2 * row_bytes(key, rows, w.shape[1]) + 1) << (r - 9)
    v = wide(w)[first:end] - ((g * wide(m)[first:end, None] + dither) >> r)
    after = w.copy()
    after[first:end] = np.clip(v, -ACTIVATION, ACTIVATION)
    return after, np.minimum(np.abs(v).max(1), 255).astype(np.uint8), int((g * g).sum())


def rescale_row(w, m, key, row):
    """w [cols]."""
    v = (wide(w) * m + ((2 * row_bytes(key, [row], len(w))[0] + 1) << 5)) >> 14
    return np.clip(v, -ACTIVATION, ACTIVATION).astype(np.int8)


def add_errors(a, b, mask, ma, mb, r):
    """d, peak."""
    t = wide(a) * ma + wide(b) * mb
    t = t if mask is None else np.where(mask > 0, t, 0)
    d = rounded(t, r, ERROR)
    return (d if mask is None else np.where(mask > 0, d, 0).astype(np.int8)), peak(t)


# Latent


def _level(logvar):
    return np.clip(wide(logvar), -96, 64) + 96


def normal(word):
    """A standard normal sample with 12 fraction bits, by linear interpolation, rounded down."""
    place, fraction = wide(word) >> 8 & 0x7F, wide(word) & 0xFF
    z = NORMAL[place] + ((NORMAL[place + 1] - NORMAL[place]) * fraction >> 8)
    return np.where(wide(word) & 0x8000, -z, z)


def noise(logvar, key, first):
    """int64 [n, width] with 8 fraction bits."""
    n, width = logvar.shape
    word = mix(mix(key, first + np.arange(n))[:, None], np.arange(width))
    return SIGMA[_level(logvar)] * normal(word) >> 16


def latent_forward(mu, logvar, key, first, m_mu, m_noise, r):
    """z [n, width], peak."""
    t = wide(mu) * m_mu + noise(logvar, key, first) * m_noise
    return rounded(t, r, ACTIVATION), peak(t)


def latent_dlogvar(dz, logvar, key, first, m_dz, m_kl, r):
    """dlogvar [n, width], peak."""
    drawn = wide(dz) * noise(logvar, key, first) >> 5
    t = drawn * m_dz + (VARIANCE[_level(logvar)] - 512) * m_kl
    return rounded(t, r, ERROR), peak(t)


def latent_kl(mu, logvar, m, r) -> int:
    level = _level(logvar)
    square = wide(mu) * wide(mu) * m >> r
    twice = int(((VARIANCE[level] << 3) + square - 4096 - ((level - 96) << 8)).sum())
    return twice // 2 if twice >= 0 else -(-twice // 2)


# Losses


def target(x, m, r):
    return np.where(wide(x) < 0, 0, np.minimum(wide(x) * m >> r, 32768))


def bernoulli_loss(logits, x, m, r) -> int:
    of = wide(logits)
    return int((SOFTPLUS[of + 128] - (target(x, m, r) * of >> 7)).sum())


def bernoulli_dlogits(logits, x, m, r, md, rd):
    """d, peak."""
    t = (SIGMOID[wide(logits) + 128] - target(x, m, r)) * md
    return rounded(t, rd, ERROR), peak(t)


def _distance(logits, mx, rx):
    below = wide(logits).max(1, keepdims=True) - wide(logits)
    return np.minimum((below * mx + (1 << (rx - 1))) >> rx, 255)


def ln(v: int) -> int:
    """The natural logarithm of v / 2^15 with 12 fraction bits: v halved into 2^15 .. 2^16-1,
    interpolated between points 1/32 apart, both rounded down."""
    exponent = v.bit_length() - 16
    v >>= exponent
    place, fraction = v >> 10 & 31, v & 1023
    return exponent * LN2_Q12 + int(LN[place] + ((LN[place + 1] - LN[place]) * fraction >> 10))


def softmax_loss(logits, labels, mx, rx) -> int:
    distance = _distance(logits, mx, rx)
    sums = EXP[distance].sum(1)
    below = distance[np.arange(len(labels)), labels] << 8
    return sum(ln(int(each)) for each in sums) + int(below.sum())


def softmax_dlogits(logits, labels, mx, rx, m, r):
    """d [n, classes], peak."""
    powers = EXP[_distance(logits, mx, rx)]
    p = (powers << 15) // powers.sum(1, keepdims=True)
    right = np.arange(logits.shape[1]) == wide(labels)[:, None]
    t = (p - (right << 15)) * m
    return rounded(t, r, ERROR), peak(t)


def argmax(logits):
    """uint8 [n]: the first of the largest."""
    return logits.argmax(1).astype(np.uint8)
