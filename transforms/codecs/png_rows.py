"""PNGs decoded with all the rows that their header promises, or refused, as libpng does it, TensorFlow and OpenCV.

Where compressed data comes to its own end early, Pillow leaves the rest black and says nothing.
"""

import struct
import zlib
from collections.abc import Iterator
from io import BytesIO

from PIL import Image as PilImage
from PIL.PngImagePlugin import PngImageFile

from maskbeam.transforms.errors import Code, ImageError

_FIRST_CHUNK, _IHDR = 8, ">IIBBBxB"
_BANDS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by the type of colour
# Adam7: the first column and row of each pass, and the steps from one to the next.
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_PIECE = 1 << 20
# What pixels are before they are decoded: values that a whole last row hardly has. Whether it has is looked into.
_INKS: dict[str, int | tuple[int, ...]] = {
    "1": 1,
    "L": 173,
    "P": 173,
    "LA": (173, 89),
    "RGB": (173, 89, 211),
    "RGBA": (173, 89, 211, 47),
}
_OTHER_INK = 44443  # of 16 bits


def load_png(image: PngImageFile) -> None:
    """Decodes the pixels of a PNG that was just opened from memory.

    Raises:
        ImageError: UNREADABLE: there are fewer rows than the header says.
    """
    data = image.fp.getvalue() if isinstance(image.fp, BytesIO) else b""
    ink = _INKS.get(image.mode, _OTHER_INK)
    image.im = PilImage.new(image.mode, image.size, ink).im
    image.load()
    # What an interlaced image gets last are its odd rows.
    last = image.height - 1 - (image.height % 2 if image.info.get("interlace") and image.height > 1 else 0)
    row = image.crop((0, last, image.width, last + 1))
    if row.tobytes() == PilImage.new(image.mode, row.size, ink).tobytes() and not has_all_rows(data):
        raise ImageError(
            Code.UNREADABLE,
            "its header promises more rows than its data holds: it is cut short, or its header is wrong",
        )


def has_all_rows(data: bytes) -> bool:
    """True if the compressed data of a sound file has as many bytes as its header says."""
    missing, stream = _promised(data), zlib.decompressobj()
    for piece in _pixel_data(data):
        left = piece
        while missing > 0:
            rows = stream.decompress(left, _PIECE)
            missing, left = missing - len(rows), stream.unconsumed_tail
            if not left and len(rows) < _PIECE:
                break
    return missing <= 0


def _promised(data: bytes) -> int:
    """The number of bytes of all rows, each with the byte of its filter."""
    width, height, depth, color_type, _, interlaced = struct.unpack_from(_IHDR, data, _FIRST_CHUNK + 8)
    bits = depth * _BANDS[color_type]
    total = 0
    for x, y, dx, dy in _PASSES if interlaced else ((0, 0, 1, 1),):
        columns, rows = -(-(width - x) // dx), -(-(height - y) // dy)
        total += rows * (1 + -(-columns * bits // 8)) if columns > 0 else 0
    return total


def _pixel_data(data: bytes) -> Iterator[bytes]:
    at = _FIRST_CHUNK
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"IDAT":
            yield data[at + 8 : at + 8 + length]
        at += 12 + length
