"""Resizing against TensorFlow, Pillow and Keras themselves, bit for bit."""

import cv2
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image as PilImage

from maskbeam.pipeline.options import RESIZE_FILTERS, SAME_FILTERS
from maskbeam.transforms.codecs.decode import decode
from maskbeam.transforms.elements import Array
from maskbeam.transforms.resampling.resize import FILTERS, resize_bilinear_tf, resize_nearest, resize_pillow
from tests.support.pictures import as_file, encoded, scene

SIDES = st.integers(1, 70)


def noise(height: int, width: int, channels: int, dtype: str) -> Array:
    rng = np.random.default_rng(height * 1000 + width * 10 + channels)
    if dtype == "uint8":
        return rng.integers(0, 256, (height, width, channels), dtype=np.uint8)
    return rng.uniform(0, 255, (height, width, channels)).astype(np.float32)


def tensorflow(pixels: Array, height: int, width: int) -> Array:
    resized: Array = tf.image.resize(pixels, (height, width)).numpy()
    return resized


@settings(max_examples=150, deadline=None)
@given(SIDES, SIDES, SIDES, SIDES, st.sampled_from([1, 2, 3, 4, 7]), st.sampled_from(["uint8", "float32"]))
@example(1, 1, 5, 5, 3, "uint8")
@example(1, 70, 70, 1, 1, "float32")
@example(64, 64, 64, 64, 3, "uint8")
@example(20, 31, 40, 31, 3, "float32")
def test_bilinear_has_every_bit_of_tensorflow(
    rows: int, columns: int, height: int, width: int, channels: int, dtype: str
) -> None:
    pixels = noise(rows, columns, channels, dtype)
    resized = resize_bilinear_tf(pixels, height, width)
    assert resized.dtype == np.float32
    assert np.array_equal(resized, tensorflow(pixels, height, width))


@pytest.mark.parametrize("size", [(360, 480), (333, 500), (1, 30000), (1001, 7), (127, 129), (2999, 1999)])
@pytest.mark.parametrize("wanted", [(128, 128), (224, 224), (513, 257)])
def test_bilinear_has_every_bit_at_usual_sizes(size: tuple[int, int], wanted: tuple[int, int]) -> None:
    pixels = noise(*size, 3, "uint8")
    assert np.array_equal(resize_bilinear_tf(pixels, *wanted), tensorflow(pixels, *wanted))


def test_bilinear_takes_pixels_that_lie_anyhow_in_memory() -> None:
    pixels = noise(30, 40, 4, "uint8")[::-1, ::2, :3]
    assert np.array_equal(resize_bilinear_tf(pixels, 16, 16), tensorflow(pixels, 16, 16))


@settings(max_examples=40, deadline=None)
@given(SIDES, SIDES, SIDES, SIDES)
def test_pillow_is_pillow(rows: int, columns: int, height: int, width: int) -> None:
    pixels = noise(rows, columns, 3, "uint8")
    expected = np.asarray(PilImage.fromarray(pixels).resize((width, height), PilImage.Resampling.BILINEAR))
    assert np.array_equal(resize_pillow(pixels, height, width), expected)
    assert np.array_equal(resize_pillow(pixels[..., :2], height, width), expected[..., :2])
    floats = resize_pillow(pixels.astype(np.float32), height, width)
    assert floats.dtype == np.float32
    assert np.abs(floats - expected).max() <= 1  # 8-bit results are rounded after each axis


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 300), SIDES, st.integers(1, 300), SIDES)
def test_nearest_takes_the_pixels_that_pillow_takes(rows: int, columns: int, height: int, width: int) -> None:
    pixels = noise(rows, columns, 3, "uint8")
    expected = np.asarray(PilImage.fromarray(pixels).resize((width, height), PilImage.Resampling.NEAREST))
    assert np.array_equal(resize_nearest(pixels, height, width), expected)


def test_nearest_takes_the_pixels_that_pillow_takes_of_long_lines() -> None:
    line = np.arange(30_000, dtype=np.int32)[np.newaxis]
    for wanted in (1, 7, 128, 999, 10_007, 29_999, 30_000, 65_537):
        expected = np.asarray(PilImage.fromarray(line).resize((wanted, 1), PilImage.Resampling.NEAREST))
        assert np.array_equal(resize_nearest(line[..., np.newaxis], 1, wanted)[..., 0], expected)


def test_filters_are_those_of_keras(tmp_path: object) -> None:
    import keras

    file = f"{tmp_path}/picture.png"
    PilImage.fromarray(scene()).save(file)
    for interpolation, resize in (("nearest", resize_nearest), ("bilinear", resize_pillow)):
        loaded = keras.utils.load_img(file, target_size=(32, 48), interpolation=interpolation)
        assert np.array_equal(resize(scene(), 32, 48), np.asarray(loaded))


SIZES = [
    (37, 50, 20, 31), (20, 31, 37, 50), (64, 48, 16, 12), (64, 48, 32, 24), (60, 40, 20, 40), (40, 61, 90, 20),
    (1, 70, 9, 9), (50, 1, 7, 3), (9, 9, 1, 1), (33, 100, 33, 64), (90, 7, 2, 88),
]  # fmt: skip
OPENCV = {
    "opencv-nearest": cv2.INTER_NEAREST,
    "opencv-linear": cv2.INTER_LINEAR,
    "opencv-cubic": cv2.INTER_CUBIC,
    "opencv-area": cv2.INTER_AREA,
    "opencv-lanczos4": cv2.INTER_LANCZOS4,
}
PILLOW = {
    "pillow": PilImage.Resampling.BILINEAR,
    "pillow-bicubic": PilImage.Resampling.BICUBIC,
    "pillow-lanczos": PilImage.Resampling.LANCZOS,
    "pillow-box": PilImage.Resampling.BOX,
    "nearest": PilImage.Resampling.NEAREST,
}
TENSORFLOW = {"tf": "bilinear", **{f"tf-{name}": name for name in ("nearest", "bicubic", "area", "lanczos3")}}


def test_every_filter_is_compared_with_its_library() -> None:
    assert set(OPENCV) | set(PILLOW) | set(TENSORFLOW) == set(FILTERS) == set(RESIZE_FILTERS)
    assert set(SAME_FILTERS.values()) < set(FILTERS)


@pytest.mark.parametrize("name", OPENCV)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_opencv_s_filters_are_opencv_s(name: str, channels: int) -> None:
    cv2.ipp.setUseIPP(False)
    wrong = pixels_seen = 0
    for rows, columns, height, width in SIZES:
        pixels = noise(rows, columns, channels, "uint8")
        expected = cv2.resize(pixels, (width, height), interpolation=OPENCV[name]).reshape(height, width, channels)
        found = FILTERS[name](pixels, height, width)
        assert found.dtype == np.uint8
        off = np.abs(found.astype(int) - expected)
        assert off.max() <= (name == "opencv-cubic"), (rows, columns, height, width)
        wrong, pixels_seen = wrong + int(off.sum()), pixels_seen + off.size
        floats = noise(rows, columns, channels, "float32")
        expected = cv2.resize(floats, (width, height), interpolation=OPENCV[name]).reshape(height, width, channels)
        np.testing.assert_allclose(FILTERS[name](floats, height, width), expected, rtol=0, atol=0.005)
    assert wrong < pixels_seen / 100


@pytest.mark.parametrize("name", TENSORFLOW)
def test_tensorflow_s_filters_are_tensorflow_s(name: str) -> None:
    for rows, columns, height, width in SIZES:
        for dtype in ("uint8", "float32"):
            pixels = noise(rows, columns, 3, dtype)
            expected = tf.image.resize(pixels, (height, width), method=TENSORFLOW[name]).numpy()
            found = FILTERS[name](pixels, height, width)
            assert found.dtype == expected.dtype
            exact = name in ("tf", "tf-nearest")
            np.testing.assert_allclose(found, expected, rtol=0, atol=0 if exact else 0.005)


@pytest.mark.parametrize("name", PILLOW)
def test_pillow_s_filters_are_pillow_s(name: str) -> None:
    for rows, columns, height, width in SIZES:
        pixels = noise(rows, columns, 3, "uint8")
        expected = np.asarray(PilImage.fromarray(pixels).resize((width, height), PILLOW[name]))
        assert np.array_equal(FILTERS[name](pixels, height, width), expected)
        assert np.array_equal(FILTERS[name](pixels[..., 1:2], height, width), expected[..., 1:2])


def test_jpegs_for_opencv_s_filters_are_those_of_imread() -> None:
    data = as_file(scene(), "JPEG", quality=85)
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert expected is not None
    assert np.array_equal(decode(encoded(data)).pixels, expected[..., ::-1])
