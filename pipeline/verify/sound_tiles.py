"""Tiles of a GeoTIFF held against their own checksums: GDAL reads pixels of a tile whose checksum is another one.

Masks inside and smaller copies as well, in pieces of some megabytes.
"""

import zlib
from collections.abc import Iterator

from maskbeam.pipeline.storage import Storage
from maskbeam.transforms.codecs.geotiff_tags import directories, tiles_of

# Bytes that are read at once.
_PIECE = 8 << 20
# More than a tile of ours has, of 512 x 512 pixels of three colours.
_LARGEST = 4 << 20


def check_tiles(storage: Storage, uri: str) -> None:
    """Raises ValueError for a file one of whose tiles is damaged, or that is no GeoTIFF of ours."""

    def fetch(start: int, end: int) -> bytes:
        with storage.open(uri, start=start, end=end) as stream:
            return stream.read()

    tiles = sorted(tile for directory in directories(fetch) for tile in tiles_of(directory, fetch))
    for piece in _pieces(tiles):
        begin = piece[0][0]
        data = fetch(begin, piece[-1][0] + piece[-1][1])
        for start, size in piece:
            _check(data[start - begin : start - begin + size], size)


def _pieces(tiles: list[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    """Tiles, by start and size, in groups that lie within one piece of the file."""
    piece: list[tuple[int, int]] = []
    for start, size in tiles:
        if size > _LARGEST:
            raise ValueError("a tile is larger than any of ours")
        if piece and start + size - piece[0][0] > _PIECE:
            yield piece
            piece = []
        piece.append((start, size))
    if piece:
        yield piece


def _check(data: bytes, size: int) -> None:
    inflate = zlib.decompressobj()
    try:
        inflate.decompress(data, _LARGEST)
    except zlib.error:
        raise ValueError("a tile is damaged") from None
    if len(data) != size or not inflate.eof:
        raise ValueError("a tile is damaged")
