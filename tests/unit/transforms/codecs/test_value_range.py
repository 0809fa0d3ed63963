"""The 0..255 scale and what lies behind transparent pixels; plain arithmetic and Pillow are the oracles."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PilImage

from maskbeam.transforms.codecs.value_range import on_background, to_byte_scale
from maskbeam.transforms.errors import ImageError
from tests.support.pictures import scene


def test_eight_bits_are_taken_as_they_are() -> None:
    picture = scene()
    assert to_byte_scale(picture) is picture
    assert to_byte_scale(picture, (0, 100)) is picture


def test_sixteen_bits_span_all_values() -> None:
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1)
    pixels = to_byte_scale(values)
    assert pixels.dtype == np.float32
    assert np.array_equal(pixels, (values * np.float64(255) / 65535).astype(np.float32))
    assert (pixels.min(), pixels.max()) == (0, 255)
    assert np.array_equal(to_byte_scale(values, (0, 65535)), pixels)
    assert np.array_equal(to_byte_scale(values.astype(">u2")), pixels)


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(["int8", "int16", "uint16", "int32", "uint32", "float16", "float32", "float64"]),
    st.integers(-100, 50),
    st.integers(51, 120),
)
def test_a_declared_range_becomes_the_byte_scale(dtype: str, low: int, high: int) -> None:
    least = max(low, 0) if dtype.startswith("u") else low
    values = np.linspace(least, high, 60).reshape(4, 5, 3).astype(dtype)
    pixels = to_byte_scale(values, (low, high))
    expected = (values.astype(np.float64) - low) / (high - low) * 255
    assert pixels.dtype == np.float32
    np.testing.assert_allclose(pixels, expected, rtol=1e-6, atol=1e-5)
    assert 0 <= pixels.min() <= pixels.max() <= 255


def test_large_integers_keep_their_differences() -> None:
    values = np.array([1_000_000_000, 1_000_000_001, 1_000_000_255], np.int32).reshape(1, 3, 1)
    assert to_byte_scale(values, (1_000_000_000, 1_000_000_255)).ravel().tolist() == [0, 1, 255]


@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "int16", "int32", "uint32"])
def test_types_without_a_natural_range_need_a_declared_one(dtype: str) -> None:
    with pytest.raises(ImageError, match=rf"BAD_VALUE_RANGE: .*{dtype}.*--input_range"):
        to_byte_scale(np.zeros((2, 2, 1), dtype))


@pytest.mark.parametrize(("value", "word"), [(1.5, "1.5"), (-0.25, "-0.25"), (np.inf, "inf"), (np.nan, "NaN")])
def test_nothing_is_clipped(value: float, word: str) -> None:
    values = np.full((2, 2, 1), 0.5, np.float32)
    values[1, 0] = value
    with pytest.raises(ImageError, match=f"BAD_VALUE_RANGE: .*{word}"):
        to_byte_scale(values, (0, 1))


def test_eight_bit_compositing_rounds_as_pillow_does() -> None:
    colors, alpha = scene(seed=1), scene(channels=1, seed=2)
    background = (200, 10, 99)
    expected = PilImage.new("RGB", (121, 90), background)
    expected.paste(PilImage.fromarray(colors), mask=PilImage.fromarray(alpha[..., 0]))
    assert np.array_equal(on_background(colors, alpha, background), np.asarray(expected))


def test_compositing_of_floats_is_the_formula() -> None:
    colors = scene(seed=1).astype(np.float32) / 3
    alpha = np.linspace(0, 1, 90 * 121, dtype=np.float32).reshape(90, 121, 1)
    background = np.array([200, 10, 99])
    mixed = on_background(colors, alpha, (200, 10, 99))
    assert mixed.dtype == np.float32
    np.testing.assert_allclose(mixed, colors * alpha + background * (1 - alpha), rtol=1e-5)


def test_hidden_colours_do_not_appear() -> None:
    hidden = np.full((2, 3, 3), 77, np.uint8)
    assert on_background(hidden, np.zeros((2, 3, 1), np.uint8), (0, 0, 0)).max() == 0
    assert on_background(hidden[..., :1], np.zeros((2, 3, 1), np.float32), (9, 9, 9)).shape == (2, 3, 1)


def test_grey_stays_grey_on_grey_and_becomes_colour_on_colour() -> None:
    grey, alpha = scene(channels=1), scene(channels=1, seed=3)
    assert on_background(grey, alpha, (40, 40, 40)).shape == (90, 121, 1)
    assert on_background(grey, alpha, (40, 40, 41)).shape == (90, 121, 3)


def test_opaque_pixels_are_left_alone() -> None:
    picture = scene(channels=4)[..., :3]
    opaque = on_background(picture, np.full((90, 121, 1), 255, np.uint8), (1, 2, 3))
    assert np.array_equal(opaque, picture)
    assert opaque.flags.c_contiguous
