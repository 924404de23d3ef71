"""Inference in numpy from a model alone: the integers that a board computes, bit for bit.

It follows native_modules/qnn: kernels.h for the arithmetic, layer.h for what a layer makes of its
scales. Products of int8 are summed in float64, which is exact: the sums stay far below 2**53.
"""

from dataclasses import dataclass
from math import exp, log1p

import numpy as np

from fieldtune.model import scale
from fieldtune.model.file import Model
from fieldtune.model.graph import INPUT, Node
from fieldtune.model.operators import DENSE_STATE

ACTIVATION_MAX = 127
MULTIPLIER_MAX = 32767
NATS = 4096  # the losses' fraction bits
_OUTPUT = DENSE_STATE.index("output")
_Q12, _Q15 = scale.from_integer(1, -12), scale.from_integer(1, -15)
_PER_STEP = (-22 << 16) | 33026  # 1/127 as layers round it

_LOGITS = np.arange(-128, 128) / 16
_SOFTPLUS_Q12 = np.array([round(4096 * log1p(exp(v))) for v in _LOGITS])
_VARIANCE_Q9 = np.array([round(512 * exp(v)) for v in np.arange(-96, 65) / 16])


@dataclass(frozen=True)
class Tensor:
    """int8 [n, width] and the scale_t of one unit."""

    data: np.ndarray
    scale: int


@dataclass(frozen=True)
class Elbo:
    """Sums over the samples, in nats: reconstruction + beta * kl is what training lowers."""

    reconstruction: float
    kl: float


def forward(model: Model, x: np.ndarray) -> dict[str, np.ndarray]:
    """Samples int8 [n, width] -> the output of every node that has one, int8 [n, its width].

    What a board's evaluation computes: z is mu. A node whose range is not known yet measures it
    on the first batch of the plan, as a board does. Raises ValueError on samples of another shape.
    """
    return {name: tensor.data for name, tensor in tensors(model, x).items() if name != INPUT}


def tensors(model: Model, x: np.ndarray) -> dict[str, Tensor]:
    """As `forward`, with scales, "input" among them."""
    x = np.asarray(x)
    if x.dtype != np.int8 or x.ndim != 2 or x.shape[1] != model.graph.input_width:
        raise ValueError(f"samples are int8 [n, {model.graph.input_width}]")
    ranges = {
        node.name: int(model.tensors[f"{node.name}.state"][_OUTPUT])
        for node in model.graph.nodes
        if node.op == "dense"
    }
    batch = model.plan["batch"]
    parts = [_batch(model, x[at : at + batch], ranges) for at in range(0, len(x), batch)]
    parts = parts or [_batch(model, x, dict(ranges))]
    return {
        name: Tensor(np.concatenate([part[name].data for part in parts]), first.scale)
        for name, first in parts[0].items()
    }


def classes(model: Model, x: np.ndarray) -> np.ndarray:
    """Samples int8 [n, width] -> the class of each, int64 [n].

    Raises ValueError on samples of another shape, and when the model has no classes.
    """
    node = next((node for node in model.graph.nodes if node.op == "softmax"), None)
    if node is None:
        raise ValueError("the model has no softmax node")
    return forward(model, x)[node.sources[0]].argmax(axis=1)


def elbo(model: Model, x: np.ndarray) -> Elbo:
    """The parts of the evidence lower bound of samples int8 [n, width], as a board sums them.

    Raises ValueError on samples of another shape.
    """
    found = tensors(model, x)
    reconstruction = divergence = 0
    for node in model.graph.nodes:
        inputs = [found[name] for name in node.reads]
        if node.op == "bernoulli":
            reconstruction += bernoulli_loss(*inputs)
        elif node.op == "latent":
            divergence += kl(*inputs)
    return Elbo(reconstruction / NATS, divergence / NATS)


def _batch(model: Model, x: np.ndarray, ranges: dict[str, int]) -> dict[str, Tensor]:
    found = {INPUT: Tensor(x, model.graph.input_scale)}
    for node in model.graph.nodes:
        if node.op == "dense":
            found[node.name] = _dense(model, node, found[node.sources[0]], ranges)
        elif node.op == "latent":
            found[node.name] = found[node.fields["mu"]]
    return found


def _dense(model: Model, node: Node, x: Tensor, ranges: dict[str, int]) -> Tensor:
    layer = Dense(
        model.tensors[f"{node.name}.weight"],
        model.tensors[f"{node.name}.scale"].tolist(),
        model.tensors[f"{node.name}.bias"].tolist(),
        bool(node.fields.get("relu", 0)),
    )
    unit = node.fields.get("output_scale", scale.NOT_SET)
    if unit == scale.NOT_SET:
        if ranges[node.name] == scale.NOT_SET and len(x.data):
            ranges[node.name] = layer.first_range(x)
        unit = activation_scale(ranges[node.name] or layer.bound(x.scale))
    return layer.forward(x, unit)[0]


def activation_scale(range_: int) -> int:
    """The scale of a tensor whose largest magnitude is `range_`."""
    return scale.multiply(range_, _PER_STEP)


def shift_before(bound: int) -> int:
    """The smallest s with bound >> s of 15 bits."""
    return max(0, bound.bit_length() - 15)


def shift_after(largest: int, s: int, low: int = 1) -> int:
    """r in low..30 that gives the largest of the multipliers 15 bits."""
    return min(30, max(low, 14 - scale.log2(largest) - s))


def multiplier(k: int, shift: int) -> int:
    """k * 2**shift, of at most 15 bits."""
    return scale.to_integer(k, shift, MULTIPLIER_MAX)


def peak_value(peak: int, r: int, unit: int) -> int:
    """What a peak in units of 2**-r stands for, as a scale_t; 0 for no signal."""
    return scale.multiply(scale.from_integer(peak, -r), unit) if peak else scale.NOT_SET


def bias_in_accumulator(bias: int, unit: int, s: int) -> int:
    """A bias (real * 2**16) in units of the accumulator, half of 2**s added for rounding."""
    limit = 1 << (14 + s)
    inverse = scale.divide(scale.ONE, unit)
    shift = 16 - scale.exponent(inverse)
    if shift > 62 or bias == 0:
        b = 0
    elif shift > 0:
        b = bias * scale.mantissa(inverse) >> shift
    else:
        b = limit if bias > 0 else -limit
    return min(limit, max(-limit, b)) + (1 << s >> 1)


@dataclass(frozen=True)
class Dense:
    """A dense layer: weight int8 [O, I], the scale_t and the bias (real * 2**16) of each row."""

    weight: np.ndarray
    scales: list[int]
    biases: list[int]
    relu: bool

    def forward(self, x: Tensor, unit: int) -> tuple[Tensor, int]:
        """The output in units of scale_t `unit`, and its largest magnitude as a scale_t or 0."""
        s = shift_before(self.weight.shape[1] * ACTIVATION_MAX * ACTIVATION_MAX)
        ratio = scale.divide(x.scale, unit)
        r = shift_after(scale.multiply(ratio, max(self.scales)), s)
        m = [multiplier(scale.multiply(ratio, each), s + r) for each in self.scales]
        b = [
            bias_in_accumulator(bias, scale.multiply(x.scale, each), s)
            for bias, each in zip(self.biases, self.scales, strict=True)
        ]
        sums = (x.data.astype(np.float64) @ self.weight.T.astype(np.float64)).astype(np.int64)
        t = ((sums + b) >> s) * m
        low = 0 if self.relu else -ACTIVATION_MAX
        y = np.clip((t + (1 << (r - 1))) >> r, low, ACTIVATION_MAX).astype(np.int8)
        peak = int((t if self.relu else np.abs(t)).max(initial=0))
        return Tensor(y, unit), peak_value(peak, r, unit)

    def bound(self, x_scale: int) -> int:
        """A range that no output leaves, and the unit in which the first range is measured."""
        columns = scale.from_integer(self.weight.shape[1] * ACTIVATION_MAX, 0)
        return scale.multiply(scale.multiply(columns, x_scale), max(self.scales))

    def first_range(self, x: Tensor) -> int:
        """The range of the output as measured on a first batch."""
        bound = self.bound(x.scale)
        return self.forward(x, bound)[1] or bound


def kl(mu: Tensor, logvar: Tensor) -> int:
    """The divergence of N(mu, exp(logvar)) from N(0, 1), summed, in nats * 4096."""
    k = scale.divide(scale.multiply(mu.scale, mu.scale), _Q12)
    r = shift_after(k, 0)
    level = np.clip(logvar.data.astype(np.int64), -96, 64)
    square = mu.data.astype(np.int64) ** 2 * multiplier(k, r) >> r
    terms = (_VARIANCE_Q9[level + 96] << 3) - 4096 - (level << 8) + square
    twice = int(terms.sum())
    return twice // 2 if twice >= 0 else -(-twice // 2)


def bernoulli_loss(logits: Tensor, target: Tensor) -> int:
    """The cross-entropy of sigmoid(logits) and the target, summed, in nats * 4096."""
    k = scale.divide(target.scale, _Q15)
    r = shift_after(k, 0)
    x = np.maximum(target.data.astype(np.int64), 0)
    t = np.minimum(x * multiplier(k, r) >> r, 1 << 15)
    values = logits.data.astype(np.int64)
    return int((_SOFTPLUS_Q12[values + 128] - (t * values >> 7)).sum())
