"""scale.h and its twin on the host: the same bits, and as exact as they say."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st
from tests.kernels.operands import examples

from fieldtune.model import scale

mantissas = st.one_of(st.sampled_from([32768, 32769, 65534, 65535]), st.integers(32768, 65535))
exponents = st.one_of(st.sampled_from([-127, -15, 127]), st.integers(-127, 127))
scales = st.builds(lambda m, e: (e << 16) | m, mantissas, exponents)
near_one = st.builds(lambda m, e: (e << 16) | m, mantissas, st.integers(-35, 5))


def value(packed: int) -> Fraction:
    return Fraction(packed & 0xFFFF) * Fraction(2) ** (packed >> 16)


def nearest(real: Fraction) -> int:
    """The nearest scale, a tie upwards, for reals of ordinary size."""
    e = 0
    while real / Fraction(2) ** e >= 65536:
        e += 1
    while real / Fraction(2) ** e < 32768:
        e -= 1
    m = int(real / Fraction(2) ** e + Fraction(1, 2))
    return ((e + 1) << 16) | 32768 if m == 65536 else (e << 16) | m


def assert_within_one_unit_below(found: int, real: Fraction) -> None:
    unit = Fraction(2) ** (found >> 16)
    assert -unit < value(found) - real <= unit / 2


@examples
@given(st.integers(0, 2**64 - 1), st.integers(-1000, 1000))
def test_from(qnn, m, e):
    found, _ = qnn.call("scale_from", [m, m >> 32, e])
    assert found == scale.from_integer(m, e)


@examples
@given(st.integers(1, 2**64 - 1), st.integers(-100, 30))
def test_from_rounds_to_nearest(m, e):
    assert scale.from_integer(m, e) == nearest(Fraction(m) * Fraction(2) ** e)


def test_from_saturates(qnn):
    for m, e, expected in [(1, 200, (127 << 16) | 65535), (1, -200, (-127 << 16) | 32768)]:
        assert qnn.call("scale_from", [m, 0, e])[0] == scale.from_integer(m, e) == expected


@examples
@given(scales, scales)
def test_products_and_quotients(qnn, a, b):
    assert qnn.call("scale_mul", [a, b])[0] == scale.multiply(a, b)
    assert qnn.call("scale_div", [a, b])[0] == scale.divide(a, b)


@examples
@given(near_one, near_one)
def test_products_are_rounded_to_nearest(a, b):
    assert scale.multiply(a, b) == nearest(value(a) * value(b))


@examples
@given(near_one, near_one)
def test_quotients_are_right_to_one_unit(a, b):
    assert_within_one_unit_below(scale.divide(a, b), value(a) / value(b))


@examples
@given(scales)
def test_square_root(qnn, a):
    root = scale.square_root(a)
    assert qnn.call("scale_sqrt", [a])[0] == root
    unit = Fraction(2) ** (root >> 16)
    assert value(root) ** 2 <= value(a) < (value(root) + unit) ** 2


@examples
@given(st.one_of(st.just(0), scales), st.one_of(st.just(0), scales))
def test_average(qnn, old, seen):
    assert qnn.call("scale_average", [old, seen])[0] == scale.average(old, seen)


@examples
@given(near_one, near_one)
def test_an_average_is_rounded_to_nearest(old, seen):
    assert scale.average(old, seen) == nearest((7 * value(old) + value(seen)) / 8)


@examples
@given(scales, st.integers(-300, 300), st.sampled_from([32767, 2**31 - 1]))
def test_integer(qnn, a, shift, limit):
    found, _ = qnn.call("scale_integer", [a, shift, limit])
    assert found == scale.to_integer(a, shift, limit)
    assert found == min(limit, int(value(a) * Fraction(2) ** shift + Fraction(1, 2)))
