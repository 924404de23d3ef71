"""layer.h in Python: from scales and tensors to the oracle's kernels, never in pieces.

`state` arguments are lists of scale_t or 0 and change in place, as a layer's do.
"""

from dataclasses import dataclass

import numpy as np
from tests.kernels import oracle

from fieldtune.model import reference, scale
from fieldtune.model.reference import multiplier, peak_value, shift_after, shift_before

OUTPUT, SCALED_ERROR, INPUT_ERROR, OUTPUT_ERROR, POWER = range(5)
ERROR_STEP = (-21 << 16) | 33288  # 1/63 as layers round it
RESCALE_KEY = 0x72657363
BIAS_LIMIT = 1 << 30


def power_of_two(e: int) -> int:
    return scale.from_integer(1, e)


def error_scale(range_: int) -> int:
    return scale.multiply(range_, ERROR_STEP)


def adapt(state, which, first_unit, bound, unit_of, at, train=True):
    """Runs at(unit) -> (result, seen) in the unit of the range in force; the range follows.

    A range not yet set is measured first, in `first_unit`; it is `bound` where nothing is seen.
    Returns the result and its unit.
    """
    if state[which] == 0:
        state[which] = at(first_unit)[1] or bound
    unit = unit_of(state[which])
    result, seen = at(unit)
    if train and seen:
        state[which] = scale.average(state[which], seen)
    return result, unit


@dataclass
class Dense:
    """weight int8 [O, I]; scales, biases and state as lists of integers."""

    weight: np.ndarray
    scales: list[int]
    biases: list[int]
    state: list[int]
    relu: bool = False
    output_scale: int = 0
    tensor: int = 0

    def forward(self, x, x_scale: int, train: bool):
        """y, its scale."""
        layer = reference.Dense(self.weight, self.scales, self.biases, self.relu)
        tensor = reference.Tensor(x, x_scale)

        def at(unit):
            y, seen = layer.forward(tensor, unit)
            return y.data, seen

        if self.output_scale:
            return at(self.output_scale)[0], self.output_scale
        bound = layer.bound(x_scale)
        unit_of = reference.activation_scale
        return adapt(self.state, OUTPUT, bound, bound, unit_of, at, train)

    def backward(self, dy, dy_scale: int, mask=None):
        """dx, its scale, e."""

        def scaled(unit):
            ratio = scale.divide(dy_scale, unit)
            r = shift_after(scale.multiply(ratio, max(self.scales)), 0)
            m = [multiplier(scale.multiply(ratio, each), r) for each in self.scales]
            e, peak = oracle.scale_rows(dy, m, r)
            return e, peak_value(peak, r, unit)

        bound = scale.multiply(dy_scale, max(self.scales))
        e, e_scale = adapt(self.state, SCALED_ERROR, bound, bound, error_scale, scaled)
        s = shift_before(len(self.weight) * 63 * 127)

        def sent(unit):
            ratio = scale.divide(e_scale, unit)
            r = shift_after(ratio, s)
            dx, peak = oracle.dense_dx(self.weight, multiplier(ratio, s + r), s, r, e, mask)
            return dx, peak_value(peak, r, unit)

        bound = scale.multiply(scale.from_integer(len(self.weight) * 127, 0), e_scale)
        dx, dx_scale = adapt(self.state, INPUT_ERROR, bound, bound, error_scale, sent)
        return dx, dx_scale, e

    def update(self, dy, x, dy_scale: int, x_scale: int, rate: int, seed: int, step: int) -> None:
        """w -= rate * gradient / rms; the bias as a weight whose input is 1."""
        if rate == 0:
            return
        key = oracle.key(seed, step, self.tensor)
        unit = scale.multiply(dy_scale, x_scale)
        if self.state[POWER] == 0:
            self.state[POWER] = self._pass(dy, x, unit, 0, key)[1]
            if self.state[POWER] == 0:
                return
        over_rms = scale.divide(rate, scale.square_root(self.state[POWER]))
        row_max, seen = self._pass(dy, x, unit, scale.multiply(over_rms, unit), key)
        if seen:
            self.state[POWER] = scale.average(self.state[POWER], seen)
        self._rescale(row_max, oracle.mix(key, RESCALE_KEY))
        bias_step = scale.multiply(scale.multiply(over_rms, dy_scale), power_of_two(16))
        r = shift_after(bias_step, 0)
        m = multiplier(bias_step, r)
        for o, g in enumerate(oracle.wide(dy).sum(0).tolist()):
            b = self.biases[o] - ((g * m + (1 << (r - 1))) >> r)
            self.biases[o] = min(BIAS_LIMIT, max(-BIAS_LIMIT, b))

    def _pass(self, dy, x, unit: int, k: int, key: int):
        """The rows' largest magnitudes, the gradient's mean square."""
        s = shift_before(len(dy) * 63 * 127)
        r = shift_after(scale.divide(k, min(self.scales)), s, 9) if k else 9
        m = [multiplier(scale.divide(k, each), s + r) if k else 0 for each in self.scales]
        self.weight, row_max, power = oracle.dense_update(self.weight, m, s, r, key, dy, x)
        if power == 0:
            return row_max, 0
        size = scale.from_integer(self.weight.size, 0)
        mean = scale.divide(scale.from_integer(power, 2 * s), size)
        return row_max, scale.multiply(mean, scale.multiply(unit, unit))

    def _rescale(self, row_max, key: int) -> None:
        finest = scale.multiply(max(self.scales), power_of_two(-6))
        for o, most in enumerate(row_max.tolist()):
            if most >= 124:
                m, factor = 15420, scale.encode(17 / 16)
            elif most < 90 and self.scales[o] > finest:
                m, factor = 17408, scale.encode(16 / 17)
            else:
                continue
            self.weight[o] = oracle.rescale_row(self.weight[o], m, key, o)
            self.scales[o] = scale.multiply(self.scales[o], factor)


def errors_add(a, b, mask, a_scale: int, b_scale: int, state, which: int = 0):
    """d, its scale."""

    def at(unit):
        ka, kb = scale.divide(a_scale, unit), scale.divide(b_scale, unit)
        r = shift_after(max(ka, kb), 0)
        d, peak = oracle.add_errors(a, b, mask, multiplier(ka, r), multiplier(kb, r), r)
        return d, peak_value(peak, r, unit)

    first = scale.multiply(max(a_scale, b_scale), power_of_two(1))
    bound = scale.multiply(first, scale.from_integer(63, 0))
    return adapt(state, which, first, bound, error_scale, at)


Z, DMU, DLOGVAR = range(3)


def latent_forward(mu, logvar, mu_scale: int, key: int, state, train: bool):
    """z, its scale."""

    def at(unit):
        k_mu, k_noise = scale.divide(mu_scale, unit), scale.divide(power_of_two(-8), unit)
        r = shift_after(max(k_mu, k_noise), 0)
        m_mu, m_noise = multiplier(k_mu, r), multiplier(k_noise, r)
        z, peak = oracle.latent_forward(mu, logvar, key, 0, m_mu, m_noise, r)
        return z, peak_value(peak, r, unit)

    bound = scale.from_integer(24, 0)
    unit_of = reference.activation_scale
    return adapt(state, Z, unit_of(bound), bound, unit_of, at, train)


def latent_backward(dz, mu, logvar, dz_scale: int, mu_scale: int, beta: int, key: int, state):
    """dmu, its scale, dlogvar, its scale."""
    dmu = errors_add(dz, mu, None, dz_scale, scale.multiply(beta, mu_scale), state, DMU)

    def at(unit):
        k_dz = scale.divide(scale.multiply(dz_scale, power_of_two(-4)), unit)
        half_q9 = scale.multiply(scale.multiply(beta, power_of_two(-1)), power_of_two(-9))
        k_kl = scale.divide(half_q9, unit)
        r = shift_after(max(k_dz, k_kl), 0)
        m_dz, m_kl = multiplier(k_dz, r), multiplier(k_kl, r)
        d, peak = oracle.latent_dlogvar(dz, logvar, key, 0, m_dz, m_kl, r)
        return d, peak_value(peak, r, unit)

    bound = scale.multiply(dz_scale, scale.from_integer(63, 4))
    return *dmu, *adapt(state, DLOGVAR, error_scale(bound), bound, error_scale, at)


def fixed_point(of_scale: int, unit: int) -> tuple[int, int]:
    """m and r of a tensor's values in a fixed unit."""
    k = scale.divide(of_scale, unit)
    r = shift_after(k, 0)
    return multiplier(k, r), r


def _probability_errors(state, kernel):
    def at(unit):
        m, r = fixed_point(power_of_two(-15), unit)
        d, peak = kernel(m, r)
        return d, peak_value(peak, r, unit)

    return adapt(state, 0, error_scale(scale.ONE), scale.ONE, error_scale, at)


def bernoulli_backward(logits, x, x_scale: int, state):
    """d, its scale."""
    of_x = fixed_point(x_scale, power_of_two(-15))
    return _probability_errors(
        state, lambda m, r: oracle.bernoulli_dlogits(logits, x, *of_x, m, r)
    )


def softmax_backward(logits, labels, logit_scale: int, state):
    """d, its scale."""
    of_logits = fixed_point(logit_scale, power_of_two(-4))
    return _probability_errors(
        state, lambda m, r: oracle.softmax_dlogits(logits, labels, *of_logits, m, r)
    )
