"""A GeoTIFF of a finished output, read window by window: memory stays the same whatever its size."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from maskbeam.pipeline.inputs.readers.gdal import gdal_settings
from maskbeam.pipeline.inputs.readers.ground import same_crs
from maskbeam.pipeline.output.grids import points_digest
from maskbeam.pipeline.storage import is_gcs
from maskbeam.transforms.elements import Array, GroundPoint, Region

# A row of tiles, as far as 8 MB of a mask reach.
_ROWS, _COLUMNS = 512, 16_384
# Of what is told inside the file: the file beside it is not asked.
_SETTINGS = {"GDAL_PAM_ENABLED": "NO", "GDAL_GEOREF_SOURCES": "INTERNAL"}
# Numbers of a transform are kept as they are; another spelling of the same is no other grid.
_TOLERANCE = 1e-12


@dataclass(frozen=True, eq=False)
class WrittenRaster:
    """An open GeoTIFF; for one thread."""

    _file: Any

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return int(self._file.height), int(self._file.width)

    @property
    def block_bytes(self) -> int:
        """The bytes of a strip or tile, which is decoded as a whole; the most of all bands."""
        blocks = zip(self._file.block_shapes, self._file.dtypes, strict=True)
        return int(max(height * width * np.dtype(dtype).itemsize for (height, width), dtype in blocks))

    def regions(self) -> Iterator[Region]:
        """Regions that cover it, each in rows and columns of whole tiles."""
        yield from regions(self.size)

    def pixels(self, region: Region) -> Array:
        """The pixels of a region, `[h, w]` or `[h, w, 3]`; ValueError where they are damaged."""
        with _damaged():
            bands = self._file.read(window=_window(region))
        return np.asarray(bands[0] if len(bands) == 1 else np.moveaxis(bands, 0, 2))

    def thumbnail(self, size: tuple[int, int]) -> Array:
        """All of it at a smaller height and width: of class ids some, no means; errors as of `pixels`."""
        with _damaged():
            bands = self._file.read(out_shape=(self._file.count, *size))
        return np.asarray(bands[0] if len(bands) == 1 else np.moveaxis(bands, 0, 2))

    def valid(self, region: Region) -> Array:
        """The pixels of a region that its own mask or no-data value leaves, bool `[h, w]`; errors as of `pixels`."""
        with _damaged():
            return np.asarray(self._file.read_masks(1, window=_window(region)) > 0)

    def differs_in_place(self, grid: dict[str, Any]) -> str:
        """The part of its place that a record tells otherwise, in words; empty where it is the same.

        Args:
            grid: As `grid_record` gives it.
        """
        crs, points = self._points()
        if not same_crs(crs, _kept_crs(grid.get("crs", ""))):
            return "coordinate system"
        if "points" in grid:
            return "" if points_digest(points) == grid["points"] else "ground control points"
        expected = grid.get("transform", [1.0, 0.0, 0.0, 0.0, 1.0, 0.0])
        is_same = not points and np.allclose(self._file.transform[:6], expected, rtol=_TOLERANCE, atol=0)
        return "" if is_same else "transform"

    def _points(self) -> tuple[Any, tuple[GroundPoint, ...]]:
        """The coordinate system, and the points where its place is told by points."""
        found, crs = self._file.gcps
        if not found:
            return self._file.crs, ()
        return crs, tuple(GroundPoint(p.row, p.col, p.x, p.y, p.z or 0.0) for p in found)


@contextmanager
def opened(uri: str) -> Iterator[WrittenRaster]:
    """Opens a GeoTIFF of an output; ValueError where it is none that can be opened."""
    with gdal_settings(uri), _settings():
        with _damaged():
            file = _opened(f"/vsigs/{uri.removeprefix('gs://')}" if is_gcs(uri) else Path(uri))
        with file:
            yield WrittenRaster(file)


def regions(size: tuple[int, int]) -> Iterator[Region]:
    """Regions that cover an image of this height and width."""
    height, width = size
    for top in range(0, height, _ROWS):
        for left in range(0, width, _COLUMNS):
            yield Region(top, left, min(_ROWS, height - top), min(_COLUMNS, width - left))


@cache
def _kept_crs(wkt: str) -> Any:
    """A coordinate system as a GeoTIFF gives it back, or None: not all that WKT tells has a place there."""
    from rasterio.crs import CRS
    from rasterio.io import MemoryFile
    from rasterio.transform import Affine

    if not wkt:
        return None
    said = {"crs": CRS.from_wkt(wkt), "transform": Affine(2, 0, 0, 0, -2, 0)}
    with MemoryFile() as held:
        with held.open(driver="GTiff", height=1, width=1, count=1, dtype="uint8", **said) as file:
            file.write(np.zeros((1, 1, 1), np.uint8))
        with held.open(driver="GTiff") as file:
            return file.crs


def _opened(place: Any) -> Any:
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning

    # Scenes may have no place on the earth. For good: a context would take back what other threads ignore meanwhile.
    warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)
    return rasterio.open(place, driver="GTiff")


def _settings() -> Any:
    from rasterio import Env
    from rasterio.session import DummySession

    return Env(DummySession(), **_SETTINGS)


def _window(region: Region) -> Any:
    from rasterio.windows import Window

    return Window(region.left, region.top, region.width, region.height)


@contextmanager
def _damaged() -> Iterator[None]:
    """Turns GDAL's errors into ValueError."""
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import RasterioError

    try:
        yield
    except (RasterioError, CPLE_BaseError) as error:
        raise ValueError(str(error)) from None
