"""The boxes of a JPEG 2000 file, as far as they say where its pixels lie on the earth.

Read without a decoder, from pieces, like the tags of TIFFs (ISO/IEC 15444-1, annex I; the box of GeoJP2 and that of
GML in JPEG 2000, OGC 05-047r3). A file may be anybody's: nothing is believed of its numbers.
"""

import struct
from typing import Final

from maskbeam.transforms.codecs.codec import Fetch

_SIGNATURE: Final = b"\x00\x00\x00\x0cjP  \r\n\x87\n"
_GEOJP2: Final = bytes.fromhex("b14bf8bd083d4b43a5ae8cd7d5a6ce03")
# The label of the association that holds GML, which begins with a box of its own.
_GML: Final = b"gml.data"
_HEAD, _LOOKED_AT, _MOST_BOXES = 16, 64, 64


def has_place(fetch: Fetch) -> bool:
    """True of a JPEG 2000 file that says where its pixels lie; False also where it is damaged, or none."""
    if fetch(0, len(_SIGNATURE)) != _SIGNATURE:
        return False
    at = len(_SIGNATURE)
    for _ in range(_MOST_BOXES):
        size, kind, head = _box(fetch(at, at + _HEAD))
        if kind == b"uuid" and fetch(at + head, at + head + len(_GEOJP2)) == _GEOJP2:
            return True
        if kind == b"asoc" and _GML in fetch(at + head, at + head + _LOOKED_AT):
            return True
        if size < head or kind == b"jp2c":
            return False
        at += size
    return False


def _box(data: bytes) -> tuple[int, bytes, int]:
    """A box's size, its kind and the size of its head; a size of 0 where it is the last one, or cut off."""
    if len(data) < 8:
        return 0, b"", 8
    size, kind = struct.unpack(">I4s", data[:8])
    if size == 1 and len(data) == _HEAD:
        return int.from_bytes(data[8:]), kind, _HEAD
    return size, kind, 8
