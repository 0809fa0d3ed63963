"""PNGs with damage in what their pixels do not depend on; TensorFlow and OpenCV, by libpng, are the oracles."""

import struct
import zlib

import cv2
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image as PilImage

from tests.pictures import as_file, encoded, scene
from transforms.decode import decode
from transforms.errors import ImageError
from transforms.png_chunks import sound_png


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
PALETTE = as_file(PilImage.fromarray(scene()).quantize(16), "PNG", transparency=3)
CASES = {
    "checksum of a profile": with_chunk(PLAIN, chunk(b"iCCP", b"name\0\0" + zlib.compress(b"x" * 99), intact=False)),
    "checksum of a comment at the end": with_chunk(PLAIN, chunk(b"tEXt", b"a\0b", intact=False), before=b"IEND"),
    "checksum of transparency": broken(PALETTE, b"tRNS"),
    "an unknown compression": with_chunk(PLAIN, chunk(b"iCCP", b"name\0\7nonsense")),
    "a comment that is a bomb": with_chunk(PLAIN, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**21)))),
    "a resolution cut short": with_chunk(PLAIN, chunk(b"pHYs", b"\0\0")),
}


@pytest.mark.parametrize("name", CASES)
def test_what_pixels_do_not_depend_on_costs_no_image(name: str) -> None:
    found = decode(encoded(CASES[name]))
    assert np.array_equal(found.pixels, tf.io.decode_png(CASES[name], channels=3).numpy())
    opencv = cv2.imdecode(np.frombuffer(CASES[name], np.uint8), cv2.IMREAD_COLOR)
    assert opencv is not None
    assert np.array_equal(found.pixels, opencv[..., ::-1])
    assert found.keep == {}


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
    ],
    ids=range(7),
)
def test_damage_to_what_they_depend_on_does(data: bytes) -> None:
    with pytest.raises(ImageError, match="UNREADABLE"):
        decode(encoded(data))
