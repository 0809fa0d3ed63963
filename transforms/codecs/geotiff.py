"""GeoTIFF as a run writes it: cloud-optimized, tiled, with smaller copies inside and its record in front of all.

Images that are read are plain TIFFs to `tiff.py`, and scenes have readers of their own. What a file says of itself is
read without a library; `encode` and `decode` need rasterio.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from maskbeam.transforms.codecs.codec import Fetch, Reader, Request, WritableCodec
from maskbeam.transforms.codecs.gdal import gdal
from maskbeam.transforms.codecs.geotiff_tags import TIFF_BEGINS, directories, end_of_pixels, text_of
from maskbeam.transforms.codecs.tiff import TIFF
from maskbeam.transforms.elements import Array

TILE: Final = 512
# Of the tiled file that blocks go into: fast, for it is read once.
TILED_OPTIONS: Final = {
    "tiled": True, "blockxsize": TILE, "blockysize": TILE, "compress": "deflate", "zlevel": 1, "bigtiff": "IF_SAFER",
}  # fmt: skip
# Of the file itself. Beside `IF_SAFER` GDAL guesses from what it cannot know yet.
COG_OPTIONS: Final = {
    "BLOCKSIZE": str(TILE),
    "COMPRESS": "DEFLATE",
    "LEVEL": "6",
    "OVERVIEWS": "IGNORE_EXISTING",
    "BIGTIFF": "IF_SAFER",
}
_CACHE_BYTES = 32 << 20
# GDAL tells the layout right behind the file's header, and puts four bytes behind each tile.
_LAYOUT = b"GDAL_STRUCTURAL_METADATA_SIZE="
_IN_FRONT, _TRAILER, _TRAILER_BYTES = b"LAYOUT=IFDS_BEFORE_DATA\n", b"BLOCK_TRAILER=LAST_4_BYTES_REPEATED\n", 4
_HEAD_BYTES = 256
# No byte of deflate stands for more (zlib, technical details).
_DEFLATE_RATIO = 1032


class _GeoTiff(WritableCodec):
    def recognises(self, head: bytes) -> bool:
        start = 16 if b"+" in head[2:4] else 8
        return head[:4] in TIFF_BEGINS and head.startswith(_LAYOUT, start) and _IN_FRONT in head[:_HEAD_BYTES]

    def open(self, data: bytes, request: Request) -> Reader:
        return TIFF.open(data, request)

    def encode(self, pixels: Array, *, text: Mapping[str, str]) -> bytes:
        from rasterio.io import MemoryFile
        from rasterio.shutil import copy

        if pixels.dtype not in (np.uint8, np.uint16) or pixels.size == 0:
            raise ValueError(f"a GeoTIFF of ours holds uint8 or uint16, not {pixels.dtype} {pixels.shape}")
        bands = pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, 2, 0)
        how = {"photometric": "RGB", "interleave": "pixel"} if pixels.ndim == 3 else {}
        with gdal(_CACHE_BYTES), MemoryFile() as tiled, MemoryFile() as made:
            with tiled.open(
                driver="GTiff", height=bands.shape[1], width=bands.shape[2], count=len(bands), dtype=pixels.dtype,
                **how, **TILED_OPTIONS,
            ) as file:  # fmt: skip
                file.write(bands)
                file.update_tags(**text)
            overviews = "MODE" if pixels.ndim == 2 else "NEAREST"
            copy(tiled.name, made.name, driver="COG", OVERVIEW_RESAMPLING=overviews, **COG_OPTIONS)
            return bytes(made.read())

    def read_text(self, head: bytes) -> dict[str, str]:
        if not self.recognises(head):
            return {}
        try:
            fetch = _within(head)
            return text_of(next(directories(fetch)), fetch)
        except (ValueError, StopIteration):
            return {}

    def is_whole(self, fetch: Fetch, size: int) -> bool:
        """True where the last tile of each image inside, of smaller copies and masks, too, ends inside the file."""
        head = fetch(0, _HEAD_BYTES)
        try:
            ends = [end_of_pixels(directory, fetch) for directory in directories(fetch)]
        except ValueError:
            return False
        return bool(ends) and max(ends) + _TRAILER_BYTES * (_TRAILER in head) <= size

    def decode(self, data: bytes) -> Array:
        from rasterio._err import CPLE_BaseError
        from rasterio.errors import RasterioError
        from rasterio.io import MemoryFile

        if not (self.recognises(data) and self.is_whole(_within(data), len(data))):
            raise ValueError("it is no whole GeoTIFF of ours")
        try:
            with gdal(_CACHE_BYTES), MemoryFile(data) as held, held.open(driver="GTiff") as file:
                _check_claims(file, len(data))
                bands = np.asarray(file.read())
        except (RasterioError, CPLE_BaseError) as error:
            raise ValueError(f"it is damaged: {error}") from None
        return bands[0] if len(bands) == 1 else np.ascontiguousarray(np.moveaxis(bands, 0, 2))


def _check_claims(file: Any, size: int) -> None:
    """Raises ValueError for a file that is none of ours, or says that it has more pixels than its bytes can hold."""
    types = set(file.dtypes)
    if types not in ({"uint8"}, {"uint16"}) or file.count not in (1, 3):
        raise ValueError("it is no GeoTIFF of ours: other bands, or of another type")
    if file.height * file.width * file.count * np.dtype(file.dtypes[0]).itemsize > _DEFLATE_RATIO * size:
        raise ValueError("it is damaged: it has more pixels than so many bytes can hold")


def _within(data: bytes) -> Fetch:
    return lambda start, end: data[start:end]


#: GeoTIFF.
GEOTIFF: Final = _GeoTiff("GeoTIFF", (".tif",))
