"""Which chunks of a PNG count: pixels do not depend on a damaged comment (W3C PNG specification, third edition).

As libpng does it, and so TensorFlow and OpenCV: a wrong checksum in a critical chunk damages the image, an ancillary
chunk with one is left out. Pillow refuses both, and does not check the pixels' own.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from transforms.errors import ImageError

_SIGNATURE_BYTES = 8
_INDEXED = 3
# What is read of the ancillary ones: transparency and orientation.
_WANTED = (b"tRNS", b"eXIf")


class _Chunk(NamedTuple):
    kind: bytes
    start: int
    end: int
    intact: bool

    @property
    def is_critical(self) -> bool:
        """By the case of its kind's first letter."""
        return not self.kind[0] & 0x20


def sound_png(data: bytes) -> bytes:
    """The same file without ancillary chunks whose checksum is wrong; the very same where there is none.

    Raises:
        ImageError: UNREADABLE when a critical chunk is damaged or missing.
    """
    chunks = list(_chunks(data))
    kinds = {chunk.kind for chunk in chunks}
    is_indexed = data[25:26] == bytes([_INDEXED])
    if (
        b"IEND" not in kinds
        or not all(c.intact for c in chunks if c.is_critical)
        or (is_indexed and b"PLTE" not in kinds)
    ):
        raise ImageError(
            "UNREADABLE", "the PNG data is damaged or cut short: a checksum does not fit, or the end is missing"
        )
    return data if all(c.intact for c in chunks) else _joined(data, (c for c in chunks if c.intact))


def bare_png(data: bytes) -> bytes:
    """A sound file with nothing in it but pixels, transparency and orientation."""
    return _joined(data, (c for c in _chunks(data) if c.is_critical or c.kind in _WANTED))


def _chunks(data: bytes) -> Iterator[_Chunk]:
    """All chunks up to IEND, or to where the data ends."""
    view, at = memoryview(data), _SIGNATURE_BYTES
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data):
            return
        yield _Chunk(kind, at, end, zlib.crc32(view[at + 4 : end - 4]) == int.from_bytes(view[end - 4 : end]))
        if kind == b"IEND":
            return
        at = end


def _joined(data: bytes, chunks: Iterable[_Chunk]) -> bytes:
    return data[:_SIGNATURE_BYTES] + b"".join(data[chunk.start : chunk.end] for chunk in chunks)
