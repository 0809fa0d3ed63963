"""PNGs whose header promises more rows than their data has; TensorFlow, by libpng, is the oracle."""

import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf

from maskbeam.transforms.codecs.decode import decode
from maskbeam.transforms.codecs.png_rows import has_all_rows
from maskbeam.transforms.elements import Array
from maskbeam.transforms.errors import ImageError
from tests.support.pictures import encoded

# Adam7 as the standard draws it: the pass of each pixel of a block of 8 x 8.
ADAM7 = np.array(list("1646264677777777565656567777777736463646777777775656565677777777"), int).reshape(8, 8)
KINDS = [(0, depth) for depth in (1, 2, 4, 8, 16)] + [(3, depth) for depth in (1, 2, 4, 8)]
KINDS += [(color, depth) for color in (2, 4, 6) for depth in (8, 16)]
BANDS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def rows_of(size: tuple[int, int], interlaced: bool) -> list[int]:
    """The number of pixels of each row that a file holds, in its order."""
    if not interlaced:
        return [size[1]] * size[0]
    passes = np.tile(ADAM7, (-(-size[0] // 8), -(-size[1] // 8)))[: size[0], : size[1]]
    return [int((row == number).sum()) for number in range(1, 8) for row in passes if (row == number).any()]


def png(color: int, depth: int, size: tuple[int, int], *, interlaced: bool, promised: int) -> bytes:
    """Black pixels, and a header that promises another height."""
    lines = [bytes(1 + -(-n * depth * BANDS[color] // 8)) for n in rows_of(size, interlaced)]
    palette = chunk(b"PLTE", bytes(3 << depth)) if color == 3 else b""
    head = struct.pack(">IIBBBBB", size[1], promised, depth, color, 0, 0, interlaced)
    pixels = chunk(b"IDAT", zlib.compress(b"".join(lines)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + palette + pixels + chunk(b"IEND", b"")


def by_tensorflow(data: bytes) -> Array:
    return np.asarray(tf.io.decode_png(data, channels=3))


@pytest.mark.parametrize(("color", "depth"), KINDS)
@pytest.mark.parametrize("interlaced", [False, True])
def test_missing_rows_are_not_black(color: int, depth: int, interlaced: bool) -> None:
    for size in ((9, 13), (1, 1), (2, 5), (5, 2)):
        whole = png(color, depth, size, interlaced=interlaced, promised=size[0])
        assert has_all_rows(whole)
        assert decode(encoded(whole)).pixels.shape[:2] == by_tensorflow(whole).shape[:2] == size
        cut = png(color, depth, size, interlaced=interlaced, promised=size[0] + 2)
        assert not has_all_rows(cut)
        with pytest.raises(ImageError, match="UNREADABLE"):
            decode(encoded(cut))
        with pytest.raises(tf.errors.InvalidArgumentError):
            by_tensorflow(cut)


def test_a_bomb_is_not_blown_up_to_see_whether_it_is_long_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = zlib.compress(bytes(5 << 20))
    head = struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    monkeypatch.setattr("maskbeam.transforms.codecs.png_rows._PIECE", 64)
    assert has_all_rows(data)
