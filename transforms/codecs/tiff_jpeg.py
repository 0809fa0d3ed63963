"""A check that the JPEGs that a TIFF is made of hold all its pixels; libtiff, too, makes up what is missing."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from maskbeam.transforms.codecs.jpeg_ends import check_frame, check_pixels
from maskbeam.transforms.elements import Array

_JPEG = 7
_WIDTH, _HEIGHT, _COMPRESSION, _TABLES = 256, 257, 259, 347
_STRIPS, _ROWS, _STRIP_BYTES = 273, 278, 279
_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES = 322, 323, 324, 325
_PLANAR, _APART = 284, 2


class _Part(NamedTuple):
    """A strip or a tile: where it begins in the image, its height and width, and its bytes in the file."""

    top: int
    left: int
    height: int
    width: int
    start: int
    size: int


def check_parts(data: bytes, tags: Mapping[int, Any], pixels: Array) -> None:
    """Makes sure that each strip or tile that is a JPEG is as large as it should be, and whole.

    Args:
        data: The file's bytes.
        tags: Those of its first image.
        pixels: `[H, W, C]` uint8 as they were decoded, not turned.

    Raises:
        ImageError: UNREADABLE.
    """
    if tags.get(_COMPRESSION) != _JPEG or tags.get(_PLANAR) == _APART:
        return
    tables = bytes(tags.get(_TABLES, b""))[:-2]
    for part in _parts(tags):
        jpeg = data[part.start : part.start + part.size]
        whole = tables + jpeg[2:] if tables else jpeg
        check_frame(whole, part.height, part.width)
        seen = pixels[part.top : part.top + part.height, part.left : part.left + part.width]
        if seen.size:
            check_pixels(whole, seen)


def _parts(tags: Mapping[int, Any]) -> Iterator[_Part]:
    height, width = tags[_HEIGHT], tags[_WIDTH]
    tiled = _TILES in tags
    high = tags[_TILE_HEIGHT] if tiled else min(tags.get(_ROWS, height), height)
    wide = tags[_TILE_WIDTH] if tiled else width
    across = -(-width // wide)
    places = zip(tags[_TILES if tiled else _STRIPS], tags[_TILE_BYTES if tiled else _STRIP_BYTES], strict=False)
    for number, (start, size) in enumerate(places):
        top, left = number // across * high, number % across * wide
        yield _Part(top, left, high if tiled else min(high, height - top), wide, start, size)
