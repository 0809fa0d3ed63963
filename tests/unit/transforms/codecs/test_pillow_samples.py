"""Every mode and depth; TensorFlow, OpenCV, rasterio and plain arithmetic are the oracles."""

import io
import itertools
import struct
import zlib
from typing import Any

import cv2
import numpy as np
import pytest
import rasterio
import tensorflow as tf
from PIL import Image as PilImage
from rasterio.io import MemoryFile

from maskbeam.transforms.codecs.codec import Request, Samples
from maskbeam.transforms.codecs.decode import decode
from maskbeam.transforms.codecs.registry import codec_for
from maskbeam.transforms.elements import Array
from maskbeam.transforms.errors import ImageError
from tests.support.pictures import as_file, encoded, scene
from tests.support.tiffs import tiff as tiff_of

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def samples_of(data: bytes) -> Samples:
    return codec_for(data).open(data, Request(max_pixels=10**6)).read()


def deep(channels: int, dtype: str = "uint16") -> Array:
    info = np.iinfo(dtype)
    return np.random.default_rng(channels).integers(info.min, info.max, (33, 50, channels), dtype, endpoint=True)


def tiff(values: Array, **options: Any) -> bytes:
    """A TIFF as GDAL writes it."""
    height, width, channels = values.shape
    options = {"photometric": "RGB" if channels > 2 else "MINISBLACK"} | options
    with MemoryFile() as file:
        with file.open(
            driver="GTiff", height=height, width=width, count=channels, dtype=values.dtype, **options
        ) as dataset:
            dataset.write(values.transpose(2, 0, 1))
        return bytes(file.read())


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_pngs_keep_all_bits(dtype: str, channels: int) -> None:
    picture = deep(channels, dtype)
    data = tf.io.encode_png(picture).numpy()
    values, alpha, *_ = samples_of(data)
    colors = channels - 1 if channels in (2, 4) else channels
    assert np.array_equal(values, picture[..., :colors])
    assert values.dtype == dtype
    if colors == channels:
        assert alpha is None
    else:
        assert alpha is not None
        scale = 1 if dtype == "uint8" else np.float32(65535)
        assert np.array_equal(alpha, picture[..., colors:] / scale)


def test_pngs_that_opencv_writes_keep_all_bits() -> None:
    picture = deep(3)
    data = cv2.imencode(".png", picture[..., ::-1])[1].tobytes()
    assert np.array_equal(samples_of(data).values, picture)


@pytest.mark.parametrize(
    ("compress", "endianness"), list(itertools.product(["none", "deflate", "lzw"], ["LITTLE", "BIG"]))
)
@pytest.mark.parametrize("tiled", [False, True])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bit_tiffs_keep_all_bits(channels: int, tiled: bool, compress: str, endianness: str) -> None:
    tiles = {"tiled": True, "blockxsize": 16, "blockysize": 16} if tiled else {}
    picture = deep(channels)
    data = tiff(picture, compress=compress, ENDIANNESS=endianness, ALPHA="YES", **tiles)
    values, alpha, *_ = samples_of(data)
    assert np.array_equal(values, picture[..., :3])
    if channels == 4:
        assert alpha is not None
        assert np.array_equal(alpha, picture[..., 3:] / np.float32(65535))


def test_bands_that_are_no_colour_are_left_out() -> None:
    for dtype in ("uint8", "uint16"):
        picture = deep(4, dtype)
        values, alpha, *_ = samples_of(tiff(picture, ALPHA="NO"))
        assert alpha is None
        assert np.array_equal(values, picture[..., :3])


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_a_single_band_is_read_whatever_it_is_said_to_be_beside(dtype: str) -> None:
    picture = deep(1, "uint8").astype(dtype)
    for compress, endianness in itertools.product(("none", "deflate"), ("little", "big")):
        data = tiff(picture, interleave="band", compress=compress, endianness=endianness)
        assert np.array_equal(samples_of(data).values, picture)


@pytest.mark.parametrize("nbits", [1, 2, 4, 8])
def test_white_is_zero_in_a_single_band_whatever_it_is_said_to_be_beside(nbits: int) -> None:
    picture = deep(1, "uint8") >> 8 - nbits
    options = {"photometric": "MINISWHITE", "nbits": nbits}
    together = samples_of(tiff(picture, interleave="pixel", **options)).values
    assert np.array_equal(samples_of(tiff(picture, interleave="band", **options)).values, together)


@pytest.mark.parametrize(("photometric", "alpha"), [("RGB", "PREMULTIPLIED"), ("CMYK", "NO")])
def test_colours_of_which_half_the_bits_are_read_have_no_range_of_their_own(photometric: str, alpha: str) -> None:
    data = tiff(deep(4) >> 4, photometric=photometric, ALPHA=alpha)
    assert decode(encoded(data)).pixels.dtype == np.uint8
    with pytest.raises(ImageError, match=r"BAD_VALUE_RANGE: .*convert it to RGB"):
        decode(encoded(data), input_range=(0, 4095))


def test_bands_one_after_another_are_read_in_eight_bits_only() -> None:
    picture = deep(3, "uint8")
    for compress in ("none", "deflate"):
        assert np.array_equal(samples_of(tiff(picture, interleave="band", compress=compress)).values, picture)
        for odd in (deep(3), deep(2, "uint8"), deep(4, "uint8")):
            with pytest.raises(ImageError, match=r"UNSUPPORTED_FORMAT: .*INTERLEAVE=PIXEL"):
                samples_of(tiff(odd, interleave="band", compress=compress))


def test_palettes_of_tiffs_may_have_eight_bits() -> None:
    image = PilImage.fromarray(scene()).quantize(16)
    data = as_file(image, "TIFF")
    with PilImage.open(io.BytesIO(data)) as file:
        colors = np.array(file.getexif()[320], "<u2")
    small = data.replace(colors.tobytes(), (colors // 256).tobytes())
    assert small != data
    opencv = cv2.imdecode(np.frombuffer(small, np.uint8), cv2.IMREAD_COLOR)
    assert opencv is not None
    assert np.array_equal(samples_of(small).values, opencv[..., ::-1])
    assert np.array_equal(samples_of(small).values, samples_of(data).values)


def test_bare_luminance_and_chrominance_are_not_taken_for_four_bytes_a_pixel() -> None:
    # What lies behind the pixels would be enough for them.
    for tags in ({262: 6}, {262: 6, 259: 32773}):
        with pytest.raises(ImageError, match=r"UNSUPPORTED_FORMAT: .* YCbCr colours without compression"):
            samples_of(tiff_of({**tags, 277: 3, 273: 0}) + bytes(100))


@pytest.mark.parametrize("compression", ["raw", "packbits", "tiff_lzw"])
def test_strips_that_are_not_there_are_not_black(compression: str) -> None:
    data = as_file(PilImage.fromarray(scene(40, 8)), "TIFF", compression=compression)
    assert samples_of(data).values.shape == (40, 8, 3)
    kind = b"\4" if compression == "raw" else b"\3"
    height = b"\1\1" + kind + b"\0\1\0\0\0"
    grown = data.replace(height + b"\x28", height + b"\x50")
    assert grown != data
    with pytest.raises(ImageError, match="UNREADABLE"):
        samples_of(grown)


def test_big_tiffs_are_read_in_one_order_of_bytes_and_named_in_the_other() -> None:
    picture = deep(1)
    assert np.array_equal(samples_of(tiff(picture, bigtiff="YES", endianness="LITTLE")).values, picture)
    with pytest.raises(ImageError, match=r"UNSUPPORTED_FORMAT: .*ENDIANNESS=LITTLE"):
        samples_of(tiff(picture, bigtiff="YES", endianness="BIG"))


@pytest.mark.parametrize("values", [deep(2), deep(5), deep(3).astype(np.float32), deep(9, "uint8")])
def test_what_pillow_cannot_read_says_so(values: Array) -> None:
    with pytest.raises(ImageError, match=r"UNSUPPORTED_FORMAT: .* TIFF"):
        samples_of(tiff(values))


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "float32"])
def test_signed_and_float_tiffs_keep_their_values(dtype: str) -> None:
    picture = deep(1, "int8").astype(dtype) * (1 if dtype == "int8" else 100)
    for compress, endianness in itertools.product(("none", "deflate"), ("little", "big")):
        values = samples_of(tiff(picture, compress=compress, endianness=endianness)).values
        assert np.array_equal(values, picture)
        assert values.dtype.kind == np.dtype(dtype).kind


def test_whole_numbers_of_32_bits_without_a_sign_have_none() -> None:
    picture = deep(1, "uint32")
    picture[0, 0], picture[0, 1] = 2**31, 2**32 - 1
    for compress in ("none", "deflate"):
        values = samples_of(tiff(picture, compress=compress)).values
        assert np.array_equal(values, picture)
        assert values.dtype == np.uint32


def test_white_is_zero_is_turned_at_every_depth() -> None:
    for dtype, top in (("uint8", 255), ("uint16", 65535)):
        picture = deep(1, dtype)
        data = tiff(picture, photometric="MINISWHITE")
        with MemoryFile(data) as file, file.open() as dataset:
            stored = dataset.read(1)
        assert np.array_equal(samples_of(data).values[..., 0], top - stored)
        assert isinstance(dataset, rasterio.DatasetReader)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
@pytest.mark.parametrize("mode", ["RGB", "I;16"])
def test_tiffs_lie_as_they_are_stored(mode: str, compression: str, orientation: int) -> None:
    picture = scene(20, 31) if mode == "RGB" else deep(1)
    image = PilImage.fromarray(picture if mode == "RGB" else picture[..., 0])
    made = decode(encoded(as_file(image, "TIFF", compression=compression, tiffinfo={274: orientation})))
    expected = picture if mode == "RGB" else (picture / np.float32(257)).astype(np.float32)
    assert np.array_equal(made.pixels, expected)
    assert made.origin.facts.get("orientation", "1") == str(orientation)


@pytest.mark.parametrize("orientation", [3, 6])
def test_sixteen_bit_colour_lies_as_it_is_stored(orientation: int) -> None:
    picture = deep(3)
    data = cv2.imencode(".tif", picture[..., ::-1])[1].tobytes()
    turned = with_orientation(data, orientation)
    assert np.array_equal(samples_of(turned).values, picture)


def with_orientation(data: bytes, orientation: int) -> bytes:
    """A little-endian TIFF with its directory written anew behind it, the orientation added."""
    start = int.from_bytes(data[4:8], "little")
    count = int.from_bytes(data[start : start + 2], "little")
    entries = [data[start + 2 + 12 * i : start + 14 + 12 * i] for i in range(count)]
    entries = [entry for entry in entries if entry[:2] != b"\x12\x01"]
    entries.append(b"\x12\x01\x03\0\1\0\0\0" + orientation.to_bytes(4, "little"))
    entries.sort(key=lambda entry: int.from_bytes(entry[:2], "little"))
    data += bytes(len(data) % 2)
    directory = len(entries).to_bytes(2, "little") + b"".join(entries) + bytes(4)
    return data[:4] + len(data).to_bytes(4, "little") + data[8:] + directory


def test_one_bit_and_low_depth_grey_is_spread_over_all_values() -> None:
    bits = scene(channels=1)[..., 0] > 128
    for format in ("PNG", "TIFF", "BMP"):
        values = samples_of(as_file(PilImage.fromarray(bits), format)).values
        assert np.array_equal(values[..., 0], np.where(bits, 255, 0)), format


def test_palettes_become_colours() -> None:
    image = PilImage.fromarray(scene()).quantize(32)
    expected = np.asarray(image.convert("RGB"))
    for format in ("PNG", "TIFF", "BMP", "GIF"):
        assert np.array_equal(samples_of(as_file(image, format)).values, expected), format
    data = as_file(image, "PNG")
    assert np.array_equal(samples_of(data).values, tf.io.decode_png(data, channels=3).numpy())


def test_palettes_may_be_transparent() -> None:
    image = PilImage.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4) % 3, "P")
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    for format, transparency in (("PNG", 1), ("GIF", 1), ("PNG", bytes([255, 0, 255]))):
        values, alpha, *_ = samples_of(as_file(image, format, transparency=transparency))
        assert alpha is not None
        assert np.array_equal(alpha[..., 0] == 0, np.asarray(image) == 1)
        assert values.shape == (3, 4, 3)


def test_one_value_may_stand_for_transparent() -> None:
    grey = PilImage.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4))
    assert transparent(as_file(grey, "PNG", transparency=5)) == [5]
    assert transparent(as_file(grey.convert("RGB"), "PNG", transparency=(7, 7, 7))) == [7]
    sixteen = PilImage.fromarray(np.arange(12, dtype=np.uint16).reshape(3, 4) * 300)
    assert transparent(as_file(sixteen, "PNG", transparency=600)) == [2]


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_of_grey_of_few_bits_one_value_may_stand_for_transparent(depth: int) -> None:
    header = struct.pack(">IIBBBBB", 8 // depth, 1, depth, 0, 0, 0, 0)
    pixels = zlib.compress(b"\0" + (0b10110101).to_bytes())
    chunks = [(b"IHDR", header), (b"tRNS", (0b10110101 >> 8 - depth).to_bytes(2)), (b"IDAT", pixels), (b"IEND", b"")]
    data = b"".join(struct.pack(">I", len(d)) + k + d + zlib.crc32(k + d).to_bytes(4) for k, d in chunks)
    values = [0b10110101 >> at & (1 << depth) - 1 for at in range(8 - depth, -1, -depth)]
    assert transparent(b"\x89PNG\r\n\x1a\n" + data) == [at for at, v in enumerate(values) if v == values[0]]


def transparent(data: bytes) -> list[int]:
    alpha = samples_of(data).alpha
    assert alpha is not None
    return list(np.flatnonzero(alpha == 0))


def test_sixteen_bit_colour_with_a_transparent_one() -> None:
    picture = np.zeros((2, 2, 3), np.uint16)
    picture[0, 1] = picture[1, 1] = (1000, 2000, 3000)
    picture[1, 1, 2] += 1  # differs in the lower byte only
    data = tf.io.encode_png(picture).numpy()
    key = b"tRNS" + b"".join(int(value).to_bytes(2, "big") for value in (1000, 2000, 3000))
    end = data.index(b"IDAT") - 4
    crc = zlib.crc32(key).to_bytes(4, "big")
    assert transparent(data[:end] + (6).to_bytes(4, "big") + key + crc + data[end:]) == [1]


def test_inks_become_colours() -> None:
    inks = PilImage.fromarray(scene()).convert("CMYK")
    expected = np.asarray(inks.convert("RGB"))
    assert np.array_equal(samples_of(as_file(inks, "TIFF")).values, expected)
    data = as_file(inks, "JPEG", quality=95)
    oracle = tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE").numpy()
    difference = np.abs(samples_of(data).values.astype(int) - oracle)
    assert difference.max() <= 1


def test_luma_and_chroma_become_colours() -> None:
    image = PilImage.fromarray(scene()).convert("YCbCr")
    for data in (as_file(image, "JPEG", quality=95), as_file(image, "TIFF", compression="jpeg", quality=95)):
        assert np.abs(samples_of(data).values.astype(int) - scene()).mean() < 8


def test_colours_without_a_rule_are_refused() -> None:
    image = PilImage.new("LAB", (4, 4))
    with pytest.raises(ImageError, match=r"UNSUPPORTED_FORMAT: its colours are LAB.*convert it to RGB"):
        samples_of(as_file(image, "TIFF"))
