from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from maskbeam.transforms.comparison.reference import decode_reference
from maskbeam.transforms.elements import Array
from maskbeam.transforms.errors import Code, ImageError

IDS = np.array([[0, 1, 2, 3], [3, 2, 1, 0], [1, 1, 0, 3]], np.uint8)


def saved(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def palette_image(pixels: Array = IDS) -> Image.Image:
    image = Image.fromarray(pixels)
    image.putpalette(bytes(range(30, 78)))
    return image


def refusal(data: bytes, **options: Any) -> str:
    with pytest.raises(ImageError) as caught:
        decode_reference(data, **options)
    assert caught.value.code is Code.REFERENCE_UNREADABLE
    return caught.value.reason


@pytest.mark.parametrize("form", ["PNG", "TIFF", "BMP"])
def test_grey_values_are_as_stored(form: str) -> None:
    found = decode_reference(saved(Image.fromarray(IDS), form))
    assert found.palette is None
    assert found.size == (3, 4)
    np.testing.assert_array_equal(found.pixels, IDS)


@pytest.mark.parametrize("options", [{}, {"transparency": 0}, {"bits": 4}, {"bits": 2}])
@pytest.mark.parametrize("form", ["PNG", "GIF", "BMP", "TIFF"])
def test_palettes_stay_palettes(form: str, options: dict[str, int]) -> None:
    found = decode_reference(saved(palette_image(), form, **options if form == "PNG" else {}))
    assert found.palette is not None
    np.testing.assert_array_equal(found.pixels, IDS)
    np.testing.assert_array_equal(found.palette[:4], np.arange(30, 42).reshape(4, 3))


@pytest.mark.parametrize("values", [np.uint16, np.int32])
def test_numbers_of_more_bits_are_kept(values: type) -> None:
    wide: Array = np.array([[0, 256, 40000]], values)
    form = "PNG" if values is np.uint16 else "TIFF"
    np.testing.assert_array_equal(decode_reference(saved(Image.fromarray(wide), form)).pixels, wide)


@pytest.mark.parametrize(("bits", "most"), [(1, 1), (2, 3), (4, 15)])
def test_grey_of_few_bits_is_not_spread(bits: int, most: int) -> None:
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    # One row of eight pixels, 0 and the largest value in turns, as the specification of PNG packs them.
    packed = int("".join(f"{most if i % 2 else 0:0{bits}b}" for i in range(8)), 2).to_bytes(bits, "big")
    header = struct.pack(">IIBBBBB", 8, 1, bits, 0, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" + packed))
    found = decode_reference(png + chunk(b"IEND", b""))
    assert found.pixels.tolist() == [[0, most] * 4]


def test_one_bit_tiffs_hold_zero_and_one() -> None:
    bits = Image.fromarray(IDS > 1)
    np.testing.assert_array_equal(decode_reference(saved(bits, "TIFF")).pixels, IDS > 1)


def test_a_turned_tiff_lies_as_it_is_stored() -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[274] = 6
    for image in (Image.fromarray(IDS), palette_image()):
        np.testing.assert_array_equal(decode_reference(saved(image, "TIFF", tiffinfo=tags)).pixels, IDS)


@pytest.mark.parametrize(
    ("form", "options"), [("JPEG", {}), ("WEBP", {"lossless": True}), ("TIFF", {"compression": "jpeg"})]
)
def test_what_loses_values_is_refused(form: str, options: dict[str, Any]) -> None:
    assert "JPEG" in refusal(saved(Image.fromarray(np.dstack([IDS * 60] * 3)), form, **options))


def test_damaged_large_and_strange_files_are_refused() -> None:
    whole = saved(Image.fromarray(np.random.default_rng(0).integers(0, 9, (40, 40), np.uint8)))
    assert "damaged" in refusal(whole[: len(whole) // 2])
    assert "more than 1599 pixels" in refusal(whole, max_pixels=1599)
    assert refusal(b"label,1,2") == refusal(b"label,3,4")
    assert "float32" in refusal(saved(Image.fromarray(IDS.astype(np.float32)), "TIFF"))
    assert "8 bits" in refusal(sixteen_bit_color())


def sixteen_bit_color() -> bytes:
    import cv2

    return bytes(cv2.imencode(".png", np.zeros((3, 4, 3), np.uint16))[1])
