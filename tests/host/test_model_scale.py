"""scale_t: a positive real number in an int32."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldtune.model import scale


def test_a_sixteenth_is_the_contracts_example():
    assert scale.encode(1 / 16) == (-19 << 16) | 32768 == -1212416


def test_a_value_that_rounds_up_to_2_16_takes_the_next_exponent():
    assert scale.encode(1 - 2**-30) == (-15 << 16) | 32768


def test_not_set_has_no_value():
    assert math.isnan(scale.decode(scale.NOT_SET))


@given(st.floats(2**-110, 2**110))
def test_encoding_is_off_by_at_most_half_a_step_of_16_bits(value):
    packed = scale.encode(value)
    assert scale.is_scale(packed)
    assert -(2**31) <= packed < 2**31
    assert abs(scale.decode(packed) / value - 1) <= 2**-16  # half a step of a mantissa of 2**15


@given(st.integers(-127, 127), st.integers(32768, 65535))
def test_decoding_is_exact(exponent, mantissa):
    packed = (exponent << 16) | mantissa
    assert scale.decode(packed) == mantissa * 2.0**exponent
    assert scale.encode(scale.decode(packed)) == packed


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf, 2.0**200, 2.0**-200])
def test_what_is_no_scale_is_refused(value):
    with pytest.raises(ValueError):
        scale.encode(value)


@pytest.mark.parametrize("packed", [0, 32767, 1, -1 << 24 | 32768, 128 << 16 | 32768, -128 << 16])
def test_what_packs_no_scale_is_told(packed):
    assert not scale.is_scale(packed)
