import io
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from maskbeam.transforms.codecs.plain_png import INDEXED, PNG_END, RGB, decode_png, encode_png, png_text
from maskbeam.transforms.elements import Array

shapes = array_shapes(min_dims=2, max_dims=2, max_side=12)
grey = st.one_of(arrays(np.uint8, shapes), arrays(np.uint16, shapes))
rgb = arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=12).map(lambda size: (*size, 3)))
latin = st.text(st.characters(codec="latin-1", exclude_characters="\0"), max_size=40)


@settings(max_examples=60, deadline=None)
@given(grey)
def test_grey_pixels_come_back_from_us_pillow_and_opencv(pixels: Array) -> None:
    data = encode_png(pixels, text={})
    np.testing.assert_array_equal(decode_png(data), pixels)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), pixels)
    np.testing.assert_array_equal(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED), pixels)


@pytest.mark.parametrize(
    ("size", "dtype"), [((600, 437), np.uint8), ((262_145, 1), np.uint8), ((300, 450), np.uint16)]
)
def test_masks_that_no_cache_holds_come_back(size: tuple[int, int], dtype: type[np.unsignedinteger[Any]]) -> None:
    pixels = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, size, dtype, endpoint=True)
    assert pixels.nbytes > 1 << 18
    np.testing.assert_array_equal(decode_png(encode_png(pixels, text={})), pixels)


@settings(max_examples=30, deadline=None)
@given(rgb)
def test_rgb_pixels_come_back(pixels: Array) -> None:
    data = encode_png(pixels, color_type=RGB, text={})
    np.testing.assert_array_equal(decode_png(data), pixels)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), pixels)


def test_palette_and_indices_come_back() -> None:
    palette = np.random.default_rng(1).integers(0, 256, (256, 3)).astype(np.uint8)
    pixels = np.arange(256, dtype=np.uint8).reshape(8, 32)
    data = encode_png(pixels, color_type=INDEXED, palette=palette.tobytes(), text={})
    opened = Image.open(io.BytesIO(data))
    assert opened.mode == "P"
    np.testing.assert_array_equal(np.asarray(opened), pixels)
    np.testing.assert_array_equal(np.asarray(opened.convert("RGB")), palette[pixels])
    np.testing.assert_array_equal(decode_png(data), pixels)


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(latin.filter(bool), latin, max_size=3))
def test_text_is_read_from_the_first_bytes_alone(text: dict[str, str]) -> None:
    data = encode_png(np.zeros((50, 50), np.uint8), text=text)
    assert png_text(data) == text
    assert png_text(data[: data.index(b"IDAT") + 4]) == text
    with pytest.raises(ValueError, match=r"damaged|cut off"):
        png_text(data[: data.index(b"IDAT") - 5])


def test_pillow_reads_the_text_too() -> None:
    opened = Image.open(io.BytesIO(encode_png(np.zeros((1, 1), np.uint8), text={"maskbeam": '{"a": "é"}'})))
    assert opened.info == {"maskbeam": '{"a": "é"}'}


@pytest.mark.parametrize("text", [{"": "x"}, {"k" * 80: "x"}, {"k": "a\0b"}, {"k": "\u4e2d"}])
def test_text_that_png_cannot_hold_is_refused(text: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"PNG text|latin-1"):
        encode_png(np.zeros((1, 1), np.uint8), text=text)


@pytest.mark.parametrize("pixels", [np.zeros((0, 3), np.uint8), np.zeros((2, 2), np.int32), np.zeros((2, 2))])
def test_pixels_that_png_cannot_hold_are_refused(pixels: Array) -> None:
    with pytest.raises(ValueError, match="PNG holds"):
        encode_png(pixels, text={})


def test_every_damaged_byte_and_every_cut_is_noticed() -> None:
    pixels = np.random.default_rng(2).integers(0, 5, (20, 30)).astype(np.uint8)
    data = encode_png(pixels, text={"maskbeam": "some text"})
    for at in range(len(data)):
        damaged = data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]
        with pytest.raises(ValueError, match="PNG"):
            decode_png(damaged)
        with pytest.raises(ValueError, match="PNG"):
            decode_png(data[:at])


def test_other_peoples_filters_are_refused_and_not_misread() -> None:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(3).integers(0, 99, (9, 9)).astype(np.uint8)).save(file, "PNG")
    with pytest.raises(ValueError, match="not written by maskbeam"):
        decode_png(file.getvalue())


def test_the_same_pixels_give_the_same_bytes_and_the_end_is_the_formats() -> None:
    pixels = np.eye(30, dtype=np.uint8)
    assert encode_png(pixels, text={"a": "b"}) == encode_png(np.asfortranarray(pixels), text={"a": "b"})
    assert encode_png(pixels, text={}).endswith(PNG_END)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    assert file.getvalue().endswith(PNG_END)
