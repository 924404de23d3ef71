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


# The arithmetic of native_modules/qnn/scale.h, bit for bit.

ONE = (-15 << 16) | 32768


def mantissa(packed: int) -> int:
    """m of m * 2**e."""
    return packed & 0xFFFF


def exponent(packed: int) -> int:
    """e of m * 2**e."""
    return packed >> 16


def log2(packed: int) -> int:
    """The base-2 logarithm, rounded down."""
    return exponent(packed) + 15


def from_integer(m: int, e: int) -> int:
    """m * 2**e, m >= 0: rounded half up, saturating at exponents -127 and 127; 0 for m = 0."""
    if m == 0:
        return NOT_SET
    drop = m.bit_length() - 16
    m = ((m >> (drop - 1)) + 1) >> 1 if drop > 0 else m << -drop
    e += drop
    if m == 65536:
        m, e = 32768, e + 1
    if e > EXPONENTS[-1]:
        m, e = 65535, EXPONENTS[-1]
    elif e < EXPONENTS[0]:
        m, e = 32768, EXPONENTS[0]
    return (e << 16) | m


def multiply(a: int, b: int) -> int:
    """a * b."""
    return from_integer(mantissa(a) * mantissa(b), exponent(a) + exponent(b))


def divide(a: int, b: int) -> int:
    """a / b; a quotient of mantissas below 1 has 16 bits and is rounded down."""
    return from_integer((mantissa(a) << 16) // mantissa(b), exponent(a) - exponent(b) - 16)


def square_root(a: int) -> int:
    """The square root, rounded down."""
    odd = (exponent(a) - 15) & 1
    return from_integer(math.isqrt(mantissa(a) << (15 + odd)), (exponent(a) - 15 - odd) // 2)


def average(old: int, seen: int) -> int:
    """old + (seen - old) / 8; the other one where one of them is not set."""
    if old == NOT_SET or seen == NOT_SET:
        return old or seen
    low = min(exponent(old), exponent(seen))
    total = 7 * mantissa(old) << (exponent(old) - low)
    return from_integer(total + (mantissa(seen) << (exponent(seen) - low)), low - 3)


def to_integer(packed: int, shift: int, limit: int) -> int:
    """packed * 2**shift, rounded half up, at most `limit`."""
    e = exponent(packed) + shift
    m = mantissa(packed)
    return min(limit, m << e if e >= 0 else ((m >> (-e - 1)) + 1) >> 1)
