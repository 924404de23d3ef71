"""From float to int8: weights by row, samples by the input's scale, normalization."""

import numpy as np
import pytest

from fieldtune.errors import UsageError
from fieldtune.model import quantize, scale

PIXEL = scale.encode(1 / 127)


def test_the_largest_weight_of_each_row_becomes_127():
    rows, _ = quantize.weights(np.array([[0.6, -1.0, 0.25], [0.001, 0.0, -0.0004]]))
    np.testing.assert_array_equal(rows, [[76, -127, 32], [127, 0, -51]])
    assert rows.dtype == np.int8


def test_a_weight_is_off_by_half_a_step_at_most():
    values = np.random.default_rng(1).standard_normal((20, 30))
    rows, packed = quantize.weights(values)
    steps = np.array([scale.decode(int(each)) for each in packed])[:, None]
    # The scale itself is rounded to 16 bits, which moves a weight of 127 steps by 127 * 2**-16.
    assert (
        np.abs(quantize.dequantize(rows, packed) / steps - values / steps).max()
        < 0.5 + 127 / 65536
    )


def test_a_row_of_zeros_has_a_scale_to_grow_from():
    rows, packed = quantize.weights(np.array([[0.0, 0.0], [1.0, 0.5]]))
    np.testing.assert_array_equal(rows[0], [0, 0])
    assert packed[0] == packed[1] == scale.encode(1 / 127)
    assert scale.is_scale(int(quantize.weights(np.zeros((1, 4)))[1][0]))


def test_weights_that_are_not_finite_are_refused():
    with pytest.raises(ValueError):
        quantize.weights(np.array([[np.nan, 1.0]]))


def test_samples_round_half_to_even_and_clip():
    steps = np.array([[0.5, 1.5, 2.5, 126.5, 127.5, 1000.0, -1.0, -0.4]]) * scale.decode(PIXEL)
    got = quantize.samples(steps, PIXEL, signed=False)
    np.testing.assert_array_equal(got, [[0, 2, 2, 126, 127, 127, 0, 0]])


def test_signed_samples_go_down_to_minus_127():
    got = quantize.samples(np.array([[-0.5, -1.0, -9.0]]), PIXEL, signed=True)
    np.testing.assert_array_equal(got, [[-64, -127, -127]])


@pytest.mark.parametrize(("value", "shown"), [(np.nan, "nan"), (np.inf, "inf"), (-np.inf, "-inf")])
def test_a_sample_that_is_not_finite_is_named(value, shown):
    values = np.zeros((5, 4))
    values[3, 2] = value
    with pytest.raises(UsageError) as caught:
        quantize.samples(values, PIXEL, signed=False)
    assert caught.value.what == f"sample 3, feature 2 is {shown}"


def test_no_normalization_only_clips():
    normalization = quantize.normalization("none", np.zeros((1, 2)))
    np.testing.assert_array_equal(
        normalization.apply([[-1, 0.25], [0.5, 2]]), [[0, 0.25], [0.5, 1]]
    )


def test_global_normalization_fills_the_input():
    normalization = quantize.normalization("global", np.array([[10.0, 20.0], [30.0, 50.0]]))
    np.testing.assert_allclose(normalization.apply([[10, 50], [30, 90]]), [[0, 1], [0.5, 1]])


def test_per_feature_normalization_fills_each_feature():
    normalization = quantize.normalization("per-feature", np.array([[10.0, 20.0], [30.0, 50.0]]))
    np.testing.assert_allclose(normalization.apply([[10, 20], [20, 35]]), [[0, 0], [0.5, 0.5]])


def test_signed_normalization_centres_on_the_mean():
    values = np.array([[0.0], [4.0], [8.0]])
    normalization = quantize.normalization("global", values, full_scale=2.0, signed=True)
    np.testing.assert_allclose(normalization.apply(values), [[-2], [0], [2]])


def test_a_constant_feature_becomes_zero():
    normalization = quantize.normalization("per-feature", np.array([[7.0, 0.0], [7.0, 1.0]]))
    np.testing.assert_allclose(normalization.apply([[7, 1]]), [[0, 1]])


def test_with_a_reference_mean_and_deviation_become_the_references():
    random = np.random.default_rng(1)
    reference = random.uniform(0.3, 0.7, (400, 3))
    drifted = reference * [0.2, 0.5, 1.5] + [0.1, -3, 4]
    for kind, at in (("per-feature", 0), ("global", None)):
        normalized = quantize.normalization(kind, drifted, reference, full_scale=100, signed=True)
        moved = normalized.apply(drifted)
        np.testing.assert_allclose(moved.mean(at), reference.mean(at), atol=1e-5)
        np.testing.assert_allclose(moved.std(at), reference.std(at), rtol=1e-5)


def test_an_unknown_normalization_is_refused():
    with pytest.raises(UsageError, match="no such normalization: 'zscore'"):
        quantize.normalization("zscore", np.zeros((1, 1)))
