import io

import numpy as np
import pytest
from PIL import Image

from maskbeam.transforms.codecs.encode import (
    decode_mask,
    encode_binary,
    encode_confidence,
    encode_jpeg,
    encode_mask,
    encode_palette,
    encode_rgb,
    read_text,
)
from maskbeam.transforms.elements import Array
from maskbeam.transforms.errors import ImageError
from maskbeam.transforms.products.palette import make_palette

LABELS = np.random.default_rng(1).integers(0, 4, (33, 47)).astype(np.uint8)
TEXT = {"maskbeam": '{"claim":"abc=\\u00e9"}', "other": "x"}


def opened(data: bytes) -> Array:
    return np.asarray(Image.open(io.BytesIO(data)))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_masks_come_back_as_ids(dtype: type) -> None:
    labels: Array = LABELS.astype(dtype) * (10000 if dtype == np.uint16 else 1)
    data = encode_mask(labels, text=TEXT)
    np.testing.assert_array_equal(decode_mask(data), labels)
    assert decode_mask(data).dtype == dtype
    assert data[24] == 8 * np.dtype(dtype).itemsize


def test_a_palette_pngs_indices_are_the_ids() -> None:
    palette = make_palette({0: (0, 0, 0), 1: (255, 0, 0), 2: (0, 255, 0), 3: (1, 2, 3)})
    image = Image.open(io.BytesIO(encode_palette(LABELS, palette)))
    assert image.mode == "P"
    np.testing.assert_array_equal(np.asarray(image), LABELS)
    np.testing.assert_array_equal(np.asarray(image.convert("RGB")), palette[LABELS])


def test_binary_masks_are_0_and_255_whether_bool_or_bytes() -> None:
    expected = np.where(LABELS == 2, 255, 0)
    np.testing.assert_array_equal(opened(encode_binary(LABELS == 2)), expected)
    assert encode_binary(LABELS == 2) == encode_binary(expected.astype(np.uint8))


def test_confidence_is_rounded_to_eight_bits() -> None:
    confidence = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    expected = np.floor(confidence / 65535 * 255 + 0.5)
    np.testing.assert_array_equal(opened(encode_confidence(confidence)), expected)
    # Of several strips.
    np.testing.assert_array_equal(opened(encode_confidence(np.tile(confidence, (9, 1)))), np.tile(expected, (9, 1)))


def test_an_overlay_is_close_to_its_pixels() -> None:
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[:, 32:] = (200, 30, 90)
    data = encode_jpeg(pixels, text=TEXT)
    assert np.abs(opened(data).astype(int) - pixels).mean() < 4


@pytest.mark.parametrize(
    "data",
    [
        encode_mask(LABELS, text=TEXT),
        encode_palette(LABELS, make_palette({0: (0, 0, 0)}), text=TEXT),
        encode_binary(LABELS == 1, text=TEXT),
        encode_rgb(np.zeros((2, 2, 3), np.uint8), text=TEXT),
        encode_confidence(LABELS.astype(np.uint16), text=TEXT),
        encode_jpeg(np.zeros((20, 20, 3), np.uint8), text=TEXT),
    ],
    ids=["mask", "palette", "binary", "rgb", "confidence", "jpeg"],
)
def test_every_file_carries_its_text_in_front_of_its_pixels(data: bytes) -> None:
    assert read_text(data) == TEXT
    assert read_text(data[: data.index(b"other") + 60]) in (TEXT, {})


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff\xd8", b"\xff\xd8\xff\xfe", b"\x89PNG\r\n\x1a\n", b"<html>", encode_mask(LABELS, text=TEXT)[:60]],
)
def test_damaged_and_foreign_files_have_no_text(data: bytes) -> None:
    assert read_text(data) == {}


def test_other_peoples_jpeg_comments_are_not_ours() -> None:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "JPEG", comment=b"made with love")
    assert read_text(file.getvalue()) == {}
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "JPEG")
    assert read_text(file.getvalue()) == {}


def test_what_a_format_cannot_hold_is_refused() -> None:
    for wrong in (LABELS.astype(np.int64), LABELS.astype(np.float32), LABELS[None], LABELS > 1):
        with pytest.raises(ValueError, match="expected"):
            encode_mask(wrong)
    with pytest.raises(ValueError, match="expected"):
        encode_palette(LABELS.astype(np.uint16), make_palette({300: (0, 0, 0)}))
    with pytest.raises(ValueError, match="expected a palette"):
        encode_palette(LABELS, make_palette({300: (0, 0, 0)}))
    with pytest.raises(ImageError, match="TOO_LARGE"):
        encode_jpeg(np.zeros((1, 65536, 3), np.uint8))
