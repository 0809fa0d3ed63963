"""The tags of a TIFF that a run has written: what it says of itself, and where its last pixels end.

Read without a decoder, because the core installs none for GeoTIFFs, and from pieces, because a scene is larger than
what is read of it. Classic TIFF and BigTIFF (Adobe, TIFF revision 6.0; libtiff, BigTIFF design), in either order of
bytes. A file may be anybody's: nothing is believed of its numbers, loops end, and what leads out of it is an error.
"""

import re
import struct
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple
from xml.sax.saxutils import unescape

from maskbeam.transforms.codecs.codec import Fetch

TIFF_BEGINS: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_STRIPS, _TILES, _METADATA = (273, 279), (324, 325), 42112
# Pixel scale, tie points, transformation, and the directory of keys that name the coordinate system (OGC, GeoTIFF).
_PLACE = frozenset({33550, 33922, 34264, 34735})
_WANTED = (*_STRIPS, *_TILES, _METADATA, *_PLACE)
# Types whose values are read here, as `struct` names them: text, and whole numbers.
_KINDS = {2: "s", 3: "H", 4: "I", 12: "d", 13: "I", 16: "Q", 18: "Q"}
# A scene has a directory for each smaller copy, each with one for its mask; an entry for each tag.
_MOST_DIRECTORIES, _MOST_ENTRIES = 64, 512
_MOST_TEXT = 16 << 20
# Of a scene of over two million pixels a side.
_MOST_TILES, _WHOLE = 1 << 24, frozenset("HIQ")
_ITEM = re.compile(r'<Item name="([^"<>]*)">([^<>]*)</Item>')


class Values(NamedTuple):
    """The values of a tag: their type as `struct` names it with the order of bytes, their number, and their place."""

    kind: str
    total: int
    place: int

    def number(self, fetch: Fetch, index: int) -> int:
        """One of them, a whole number."""
        return int(_unpack(self.kind, fetch, self.place + index * struct.calcsize(self.kind))[0])

    def numbers(self, fetch: Fetch) -> list[int]:
        """All of them, whole numbers."""
        if self.total > _MOST_TILES or self.kind[1:] not in _WHOLE:
            raise ValueError("there are more tiles than a scene has")
        data = _exactly(fetch, self.place, self.total * struct.calcsize(self.kind))
        return [number for (number,) in struct.iter_unpack(self.kind, data)]


Directory = Mapping[int, Values]


def directories(fetch: Fetch) -> Iterator[Directory]:
    """The directories of a TIFF in the order of their chain, with the tags that are wanted here.

    Raises:
        ValueError: It is none, it is cut off, or the chain has a loop or no end.
    """
    begin = fetch(0, 4)
    if begin not in TIFF_BEGINS:
        raise ValueError("it is no TIFF")
    order, big = "<" if begin.startswith(b"II") else ">", b"+" in begin
    at = _unpack(order + ("Q" if big else "I"), fetch, 8 if big else 4)[0]
    seen: set[int] = set()
    while at:
        if at in seen or len(seen) == _MOST_DIRECTORIES:
            raise ValueError("its directories have no end")
        seen.add(at)
        directory, at = _directory(fetch, at, order, big=big)
        yield directory


def _directory(fetch: Fetch, at: int, order: str, *, big: bool) -> tuple[Directory, int]:
    number, entry, pointer = (order + each for each in (("Q", "HHQ8s", "Q") if big else ("H", "HHI4s", "I")))
    (count,) = _unpack(number, fetch, at)
    if count > _MOST_ENTRIES:
        raise ValueError("a directory has more entries than there are tags")
    start, size = at + struct.calcsize(number), struct.calcsize(entry)
    entries = _exactly(fetch, start, size * count)
    found = {}
    for index, (tag, kind, values, _) in enumerate(struct.iter_unpack(entry, entries)):
        if tag in _WANTED and kind in _KINDS:
            place = start + size * (index + 1) - struct.calcsize(pointer)
            bytes_of_all = values * struct.calcsize(_KINDS[kind])
            inside = bytes_of_all <= struct.calcsize(pointer)
            found[tag] = Values(order + _KINDS[kind], values, place if inside else _unpack(pointer, fetch, place)[0])
    return found, _unpack(pointer, fetch, start + size * count)[0]


def has_place(fetch: Fetch) -> bool:
    """True of a TIFF that says where its pixels lie on the earth; False also where it is damaged, or none."""
    try:
        return not _PLACE.isdisjoint(next(directories(fetch), {}))
    except ValueError:
        return False


def text_of(directory: Directory, fetch: Fetch) -> dict[str, str]:
    """The items of GDAL_METADATA that are of the file as a whole, by name.

    GDAL escapes a value as XML, and then escapes the file's XML again.

    Raises:
        ValueError: It is cut off.
    """
    values = directory.get(_METADATA)
    if values is None or not values.kind.endswith("s") or values.total > _MOST_TEXT:
        return {}
    xml = _exactly(fetch, values.place, values.total).rstrip(b"\0").decode("utf-8")
    return {_plain(name): _plain(_plain(value)) for name, value in _ITEM.findall(xml)}


def end_of_pixels(directory: Directory, fetch: Fetch) -> int:
    """The byte behind the last strip or tile of an image; 0 where that holds nothing.

    Raises:
        ValueError: It has none, or it is cut off.
    """
    for places, sizes in (_TILES, _STRIPS):
        if places in directory and sizes in directory:
            last = directory[places].total - 1
            if last < 0 or directory[sizes].total != last + 1:
                break
            return directory[places].number(fetch, last) + directory[sizes].number(fetch, last)
    raise ValueError("an image of it has no pixels")


def tiles_of(directory: Directory, fetch: Fetch) -> list[tuple[int, int]]:
    """The start and the size in bytes of each tile that is not left out.

    Raises:
        ValueError: It has none, or it is cut off.
    """
    if not set(_TILES) <= directory.keys():
        raise ValueError("an image of it has no tiles")
    starts, sizes = (directory[tag].numbers(fetch) for tag in _TILES)
    if len(starts) != len(sizes):
        raise ValueError("an image of it has other tiles than sizes of tiles")
    return [(start, size) for start, size in zip(starts, sizes, strict=True) if size]


def _plain(escaped: str) -> str:
    return unescape(escaped, {"&quot;": '"', "&apos;": "'"})


def _unpack(layout: str, fetch: Fetch, at: int) -> tuple[int, ...]:
    return struct.unpack(layout, _exactly(fetch, at, struct.calcsize(layout)))


def _exactly(fetch: Fetch, at: int, count: int) -> bytes:
    data = fetch(at, at + count)
    if len(data) != count:
        raise ValueError("it is cut off")
    return data
