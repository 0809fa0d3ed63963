"""PNGs with damage in what their pixels do not depend on; TensorFlow and OpenCV, by libpng, are the oracles."""

import struct
import zlib

import cv2
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image as PilImage

from maskbeam.transforms.codecs.decode import decode
from maskbeam.transforms.codecs.png_chunks import sound_png
from maskbeam.transforms.errors import ImageError
from tests.support.pictures import as_file, encoded, scene


def chunk(kind: bytes, body: bytes, *, intact: bool = True) -> bytes:
    checksum = zlib.crc32(kind + body) ^ (not intact)
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)


def with_chunk(data: bytes, added: bytes, *, before: bytes = b"IDAT") -> bytes:
    at = data.index(before) - 4
    return data[:at] + added + data[at:]


def broken(data: bytes, kind: bytes) -> bytes:
    """The same with another checksum in the chunk."""
    at = data.index(kind)
    end = at + 4 + int.from_bytes(data[at - 4 : at])
    return data[:end] + bytes([data[end] ^ 1]) + data[end + 1 :]


PLAIN = as_file(scene(), "PNG")
GREY = as_file(scene(channels=1), "PNG")
PALETTE = as_file(PilImage.fromarray(scene()).quantize(16), "PNG", transparency=3)
OPAQUE = as_file(PilImage.fromarray(scene()).quantize(16), "PNG")
CASES = {
    "checksum of a profile": with_chunk(PLAIN, chunk(b"iCCP", b"name\0\0" + zlib.compress(b"x" * 99), intact=False)),
    "checksum of a comment at the end": with_chunk(PLAIN, chunk(b"tEXt", b"a\0b", intact=False), before=b"IEND"),
    "checksum of transparency": broken(PALETTE, b"tRNS"),
    "an unknown compression": with_chunk(PLAIN, chunk(b"iCCP", b"name\0\7nonsense")),
    "a comment that is a bomb": with_chunk(PLAIN, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**21)))),
    "a resolution cut short": with_chunk(PLAIN, chunk(b"pHYs", b"\0\0")),
    "a resolution cut short at the end": with_chunk(PLAIN, chunk(b"pHYs", b"\0\0"), before=b"IEND"),
    "transparency cut short": with_chunk(PLAIN, chunk(b"tRNS", b"\0\1\0\2")),
    "transparency too long": with_chunk(GREY, chunk(b"tRNS", b"\0\1\0")),
    "transparency of no colour": with_chunk(OPAQUE, chunk(b"tRNS", b"")),
    "transparency of more colours": with_chunk(OPAQUE, chunk(b"tRNS", bytes(300))),
    "transparency in front of the palette": with_chunk(OPAQUE, chunk(b"tRNS", b"\0"), before=b"PLTE"),
    "transparency at the end": with_chunk(GREY, chunk(b"tRNS", b"\0\1"), before=b"IEND"),
    "a frame at the end, cut short": with_chunk(PLAIN, chunk(b"fcTL", b"\0"), before=b"IEND"),
}
# OpenCV, which knows animations, refuses these; to plain libpng they are comments.
ANIMATIONS = {
    "a frame cut short": with_chunk(PLAIN, chunk(b"fcTL", b"\0")),
    "frames of which one is cut short": with_chunk(PLAIN, chunk(b"acTL", b"\0\0\0\2" * 2) + chunk(b"fcTL", b"\0")),
}


@pytest.mark.parametrize("name", CASES)
def test_what_pixels_do_not_depend_on_costs_no_image(name: str) -> None:
    found = decode(encoded(CASES[name]))
    color = np.broadcast_to(found.pixels, (*found.pixels.shape[:2], 3))
    assert np.array_equal(color, tf.io.decode_png(CASES[name], channels=3).numpy())
    opencv = cv2.imdecode(np.frombuffer(CASES[name], np.uint8), cv2.IMREAD_COLOR)
    assert opencv is not None
    assert np.array_equal(color, opencv[..., ::-1])
    assert found.origin.facts == {}


@pytest.mark.parametrize("name", ANIMATIONS)
def test_of_animations_the_first_picture_is_read(name: str) -> None:
    assert np.array_equal(decode(encoded(ANIMATIONS[name])).pixels, scene())


def test_of_transparencies_the_first_one_that_fits_counts() -> None:
    kinds = [chunk(b"tRNS", body) for body in (b"\1", int(scene(channels=1)[0, 0, 0]).to_bytes(2), b"\0\5")]
    data = with_chunk(GREY, b"".join(kinds))
    expected = tf.io.decode_png(data, channels=4).numpy()
    found = decode(encoded(data), background=(0, 0, 0)).pixels[..., 0]
    assert np.array_equal(found, np.where(expected[..., 3] == 255, expected[..., 0], 0))
    assert not np.array_equal(found, scene(channels=1)[..., 0])


def test_an_orientation_behind_the_pixels_is_seen() -> None:
    exif = PilImage.Exif()
    exif[274] = 6
    data = with_chunk(PLAIN, chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0")), before=b"IEND")
    turned = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert turned is not None
    found = decode(encoded(data), upright=True)
    assert np.array_equal(found.pixels, turned[..., ::-1])
    assert found.pixels.shape == (121, 90, 3)


def test_a_critical_chunk_that_nobody_knows_costs_the_image() -> None:
    for data in (
        with_chunk(PLAIN, chunk(b"ABCD", b"x")),
        with_chunk(PLAIN, chunk(b"ABCD", b"x"), before=b"IEND"),
        PLAIN[:8] + chunk(b"CgBI", bytes(4)) + PLAIN[8:],
    ):
        with pytest.raises(tf.errors.InvalidArgumentError):
            tf.io.decode_png(data)
        with pytest.raises(ImageError, match=r"UNSUPPORTED_FORMAT.* critical chunk"):
            decode(encoded(data))


def test_a_file_that_ends_anywhere_costs_the_image_and_not_the_run() -> None:
    for length in (*range(8, 120), len(OPAQUE) - 1):
        with pytest.raises(ImageError, match="UNREADABLE"):
            decode(encoded(OPAQUE[:length]))


def test_a_sound_file_is_not_copied() -> None:
    assert sound_png(PLAIN) is PLAIN


@pytest.mark.parametrize(
    "data",
    [
        broken(PLAIN, b"IHDR"),
        broken(PLAIN, b"IDAT"),
        broken(PLAIN, b"IEND"),
        broken(PALETTE, b"PLTE"),
        PALETTE.replace(b"PLTE", b"pLTE"),
        PLAIN.replace(b"IDAT", b"iDAT"),
        PLAIN.replace(b"IEND", b"iEND"),
        with_chunk(PLAIN, chunk(b"a1b ", b"x")),
    ],
    ids=range(8),
)
def test_damage_to_what_they_depend_on_does(data: bytes) -> None:
    with pytest.raises(ImageError, match="UNREADABLE"):
        decode(encoded(data))
