"""scale_t: a positive real number in one int32, m * 2**e with m in 32768..65535."""

import math

NOT_SET = 0
EXPONENTS = range(-127, 128)
MANTISSAS = range(32768, 65536)


def encode(value: float) -> int:
    """The nearest scale_t. Raises ValueError when `value` is not positive or out of range."""
    if not (value > 0 and math.isfinite(value)):
        raise ValueError(f"a scale is a positive number, not {value!r}")
    fraction, exponent = math.frexp(value)
    mantissa, exponent = round(fraction * 65536), exponent - 16
    if mantissa == 65536:
        mantissa, exponent = 32768, exponent + 1
    if exponent not in EXPONENTS:
        raise ValueError(f"{value!r} is out of the range of a scale")
    return (exponent << 16) | mantissa


def decode(packed: int) -> float:
    """The real number; NaN when it is not set. Raises ValueError when it is no scale_t."""
    if packed == NOT_SET:
        return math.nan
    if not is_scale(packed):
        raise ValueError(f"{packed} is no scale")
    return math.ldexp(packed & 0xFFFF, packed >> 16)


def is_scale(packed: int) -> bool:
    """Whether `packed` is a scale_t that is set."""
    return (packed & 0xFFFF) in MANTISSAS and (packed >> 16) in EXPONENTS
