"""Input scalings against Keras's own, on numpy and TensorFlow alike."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.applications.imagenet_utils import preprocess_input

from maskbeam.transforms.codecs.value_range import to_byte_scale
from maskbeam.transforms.elements import Array
from maskbeam.transforms.errors import RunError
from maskbeam.transforms.normalize import NAMED, normalize, parse_normalization
from tests.support.pictures import scene


def batch(channels: int = 3) -> Array:
    return np.stack([scene(8, 9, channels, seed) for seed in range(2)]).astype(np.float32)


@pytest.mark.parametrize(("name", "mode"), [("-1..1", "tf"), ("imagenet", "torch"), ("caffe", "caffe")])
def test_named_scalings_are_those_of_keras(name: str, mode: str) -> None:
    expected = preprocess_input(batch(), data_format="channels_last", mode=mode)
    np.testing.assert_allclose(normalize(batch(), parse_normalization(name)), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("order", ["rgb", "bgr"])
@pytest.mark.parametrize("text", [*NAMED, "1,2,3/4,5,6", "127/64"])
def test_tensorflow_and_keras_tensors_are_scaled_like_arrays(text: str, order: str) -> None:
    scaling = parse_normalization(text)
    expected = normalize(batch(), scaling, order)
    assert expected.dtype == np.float32
    compiled = tf.function(lambda x: normalize(x, scaling, order))
    np.testing.assert_allclose(compiled(tf.constant(batch())).numpy(), expected, rtol=1e-6, atol=1e-6)
    image = keras.Input((8, 9, 3))
    model = keras.Model(image, normalize(image, scaling, order))
    np.testing.assert_allclose(model(batch()), expected, rtol=1e-6, atol=1e-6)


def test_simple_scalings_are_exact() -> None:
    assert np.array_equal(normalize(batch(), NAMED["0..1"]), batch() / np.float32(255))
    assert np.array_equal(normalize(batch(), NAMED["-1..1"]), batch() / np.float32(127.5) - 1)
    untouched = batch()
    assert normalize(untouched, NAMED["none"]) is untouched


def test_channels_are_reversed_once_and_after_scaling() -> None:
    scaling = parse_normalization("1,2,3/4,5,6")
    assert np.array_equal(normalize(batch(), scaling, "bgr"), normalize(batch(), scaling)[..., ::-1])
    assert np.array_equal(normalize(batch(), NAMED["caffe"], "bgr"), normalize(batch(), NAMED["caffe"]))


def test_own_means_and_deviations_are_on_the_byte_scale() -> None:
    expected = (batch() - np.array([10, 20, 30])) / np.array([2, 4, 5])
    np.testing.assert_allclose(normalize(batch(), parse_normalization("10,20,30/2,4,5")), expected, rtol=1e-5)
    np.testing.assert_allclose(normalize(batch(1), parse_normalization("10/2")), (batch(1) - 10) / 2, rtol=1e-5)


@pytest.mark.parametrize(
    "text",
    ["", "0-1", "ImageNet", "1,2,3", "1,2/3", "1,2,3/1,0,1", "1/-1", "nan/1", "1/inf", "1/2/3", "a,b,c/1,1,1", "/"],
)
def test_nonsense_is_refused_with_its_value(text: str) -> None:
    with pytest.raises(RunError, match=f"--normalize={text}"):
        parse_normalization(text)


@pytest.mark.parametrize("channels", [1, 4])
def test_scalings_for_other_channels_are_refused(channels: int) -> None:
    with pytest.raises(RunError, match=f"3 channels.*{channels}"):
        normalize(batch(channels), NAMED["caffe"])


def test_sixteen_bit_values_can_be_fed_as_they_are_stored() -> None:
    stored = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1)
    fed = normalize(to_byte_scale(stored), parse_normalization("0/0.0038910506"))
    assert np.abs(fed - stored).max() < 0.005
    assert np.array_equal(fed.astype(np.uint16), stored)  # as for a model that takes whole numbers
    assert "`0/0.0038910506`" in (Path(__file__).parents[3] / "docs/formats.md").read_text(encoding="utf-8")
