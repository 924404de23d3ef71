"""The built-in example: an untrained VAE for the digits, their split and their drift."""

import sys

import numpy as np
import pytest

from fieldtune.errors import FieldtuneError
from fieldtune.model import example, quantize


def test_the_seed_decides_the_weights():
    once, again, other = example.digits(3), example.digits(3), example.digits(4)
    assert once.sha256 == again.sha256 != other.sha256
    assert once.graph.seed == 3


def test_weights_are_he_initialized_with_the_factor_of_their_layer():
    model = example.digits(1)
    for name, factor in (("encoder.hidden", 1), ("encoder.logvar", 0.1), ("decoder.logits", 0.5)):
        rows = quantize.dequantize(model.tensors[f"{name}.weight"], model.tensors[f"{name}.scale"])
        expected = factor * np.sqrt(2 / rows.shape[1])
        # The standard deviation of n normal numbers is off by 1 / sqrt(2 n); five times that.
        assert rows.std() == pytest.approx(expected, rel=5 / np.sqrt(2 * rows.size))


def test_nothing_is_calibrated_and_no_bias_is_set():
    model = example.digits(1)
    for name, values in model.tensors.items():
        if name.endswith((".bias", ".state")):
            assert not values.any(), name


def test_the_split_is_800_labelled_600_to_adapt_to_and_397_held_out():
    data = example.data(seed=1)
    assert [len(x) for x in (data.source_x, data.adapt_x, data.held_out_x)] == [800, 600, 397]
    assert [len(y) for y in (data.source_y, data.adapt_y, data.held_out_y)] == [800, 600, 397]
    everything = np.concatenate([data.source_x, data.adapt_x, data.held_out_x])
    assert everything.dtype == np.float32
    assert everything.min() == 0 and everything.max() == 1
    # All 1797 images differ: none is in two parts of the split.
    assert len(np.unique(everything, axis=0)) == 1797
    np.testing.assert_array_equal(data.source_x, example.data(seed=1).source_x)
    assert not np.array_equal(data.source_x, example.data(seed=2).source_x)


def test_tilting_by_nothing_changes_nothing():
    images = example.data(1).held_out_x[:10]
    np.testing.assert_array_equal(example.tilt(images, 0), images)


def test_tilting_by_a_right_angle_turns_the_image_counterclockwise():
    image = np.random.default_rng(1).random((1, 64), np.float32)
    np.testing.assert_allclose(
        example.tilt(image, 90)[0].reshape(8, 8), np.rot90(image.reshape(8, 8)), atol=1e-6
    )


def test_tilting_turns_each_image_for_itself_and_stays_in_range():
    images = example.data(1).held_out_x[:10]
    tilted = example.tilt(images, 15)
    assert tilted.shape == (10, 64) and tilted.dtype == np.float32
    assert tilted.min() >= 0 and tilted.max() <= 1
    np.testing.assert_array_equal(tilted[3:4], example.tilt(images[3:4], 15))


@pytest.mark.parametrize("kind", ["global", "per-feature"])
def test_renormalization_undoes_gain_and_offset(kind):
    data = example.data(1)
    drifted = data.source_x * 0.4 + 0.3
    undone = example.renormalize(kind, data.source_x, drifted, data.held_out_x * 0.4 + 0.3)
    varies = data.source_x.std(axis=0) > 0.01  # a pixel that is always black tells nothing
    np.testing.assert_allclose(undone[:, varies], data.held_out_x[:, varies], atol=0.05)


def test_without_scikit_learn_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(FieldtuneError) as caught:
        example.data(1)
    assert caught.value.do == "pip install 'fieldtune[demo]'"
