"""From float to int8: weights with a scale per row, samples with the input's scale."""

from dataclasses import dataclass

import numpy as np

from fieldtune.errors import UsageError
from fieldtune.model import scale

WEIGHT_LIMIT = 127
NORMALIZATIONS = ("none", "global", "per-feature")
# A feature that hardly varies must not be blown up to the reference's spread; of a range of 1,
# this is an eighth of an int8 step.
LEAST_SPREAD = 1e-3


def weights(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """float [O, I] -> int8 [O, I] in -127..127 and int32 [O], the scale_t of each row.

    A row of zeros takes the layer's largest scale. Raises ValueError when a value is not finite.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 2 or not np.isfinite(values).all():
        raise ValueError("weights are a matrix of finite numbers")
    most = np.abs(values).max(axis=1)
    most[most == 0] = most.max() or 1.0
    packed = [scale.encode(row / WEIGHT_LIMIT) for row in most]
    steps = np.array([scale.decode(each) for each in packed])[:, None]
    rows = np.clip(np.rint(values / steps), -WEIGHT_LIMIT, WEIGHT_LIMIT)
    return rows.astype(np.int8), np.array(packed, np.int32)


def dequantize(rows: np.ndarray, packed: np.ndarray) -> np.ndarray:
    """int8 [O, I] and scale_t [O] -> float32 [O, I]."""
    steps = np.array([scale.decode(int(each)) for each in packed])
    return (rows * steps[:, None]).astype(np.float32)


def samples(values: np.ndarray, packed: int, signed: bool) -> np.ndarray:
    """float [N, width] -> int8 [N, width], rounded half to even and clipped.

    The range is -127..127, or 0..127 when not `signed` (see Graph.signed_input). Raises UsageError
    naming the first sample that holds NaN or an infinity.
    """
    values = np.asarray(values, np.float64)
    refuse_non_finite(values)
    lowest = -127 if signed else 0
    return np.clip(np.rint(values / scale.decode(packed)), lowest, 127).astype(np.int8)


def refuse_non_finite(values: np.ndarray) -> None:
    """Raises UsageError naming sample and feature (from 0) of the first NaN or infinity."""
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        at = ", feature ".join(str(index) for index in bad[0])
        raise UsageError(f"sample {at} is {values[tuple(bad[0])]}", "samples are finite numbers")


@dataclass(frozen=True)
class Normalization:
    """x * gain + offset, numbers or one a feature, then clipped to `low`..`high`."""

    gain: np.ndarray
    offset: np.ndarray
    low: float
    high: float

    def apply(self, values: np.ndarray) -> np.ndarray:
        """float [..., width] -> float32 of the same shape."""
        scaled = np.asarray(values, np.float64) * self.gain + self.offset
        return np.clip(scaled, self.low, self.high).astype(np.float32)


def normalization(
    kind: str,
    values: np.ndarray,
    reference: np.ndarray | None = None,
    full_scale: float = 1.0,
    signed: bool = False,
) -> Normalization:
    """Fits a normalization of kind none, global or per-feature to `values` [N, width].

    With `reference` [M, width] mean and standard deviation become the reference's. Without, the
    values fill the input: their range becomes 0..full_scale, or, when `signed`, their mean 0 and
    their largest distance from it full_scale. Raises UsageError on an unknown kind.
    """
    if kind not in NORMALIZATIONS:
        raise UsageError(f"no such normalization: {kind!r}", f"known: {', '.join(NORMALIZATIONS)}")
    low = -full_scale if signed else 0.0
    if kind == "none":
        return Normalization(np.float64(1), np.float64(0), low, full_scale)
    axis = None if kind == "global" else 0
    values = np.asarray(values, np.float64)
    refuse_non_finite(values)
    mean = values.mean(axis)
    if reference is not None:
        reference = np.asarray(reference, np.float64)
        gain = reference.std(axis) / np.maximum(values.std(axis), LEAST_SPREAD)
        return Normalization(gain, reference.mean(axis) - mean * gain, low, full_scale)
    start = mean if signed else values.min(axis)
    spread = np.abs(values - start).max(axis)
    gain = full_scale / np.where(spread > 0, spread, 1.0)
    return Normalization(gain, -start * gain, low, full_scale)
