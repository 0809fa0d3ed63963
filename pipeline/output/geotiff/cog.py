"""A cloud-optimized GeoTIFF of blocks, in bounded memory: tiled, smaller copies inside, its directories in front.

Blocks go into a tiled GeoTIFF in a temporary folder, of which GDAL's COG driver then makes a copy. A COG itself is
never opened for writing: the driver would hold the whole image. Measured on one thread of a shared machine, blocks of
4,096 a side: a mask of 10,980 a side takes 4.4 s and 288 MB resident, 162 of them before it begins, one of 20,000 a
side 14 s and 298 MB.

The same pixels, layout and text give the same bytes, whatever blocks they come in, their order, the number of threads
that GDAL takes (`GDAL_NUM_THREADS`) and the folder; with another version of GDAL or libdeflate they may not.
"""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from maskbeam.pipeline.output.geotiff.layout import Layout, Place
from maskbeam.pipeline.output.geotiff.room import check_room
from maskbeam.pipeline.process.temporary import temporary_folder
from maskbeam.transforms.codecs.gdal import gdal
from maskbeam.transforms.codecs.geotiff import COG_OPTIONS, TILED_OPTIONS
from maskbeam.transforms.elements import Array, GroundPoints, Region
from maskbeam.transforms.errors import RunError

# Two rows of tiles of a scene of 100,000 a side, beside what GDAL takes for a smaller copy.
_CACHE_BYTES = 64 << 20
# Rows that are read at once of a finished file, and pixels that are counted at once.
_ROWS, _PIECE = 512, 1 << 20


@dataclass
class Cog:
    """A GeoTIFF in the making. For one thread, that which opened it.

    Blocks are any rectangles, in any order, that do not overlap and together cover the image.
    """

    layout: Layout
    folder: Path
    _tiled: Any
    _blocks: list[Region] = field(default_factory=list)
    _written: Array = field(default_factory=lambda: np.zeros(0, np.int64))

    def write(self, pixels: Array, region: Region, *, valid: Array | None = None) -> None:
        """Writes a block.

        Args:
            pixels: `[h, w]` of the layout's type, or `[h, w, 3]` for colours.
            region: Where it lies in the image.
            valid: Bool `[h, w]`, False for pixels without data; for layouts that are masked, and for these alone.

        Raises:
            ValueError: It is of another type or size, lies outside, or overlaps an earlier one.
            RunError: The temporary folder is full, or fails.
        """
        self._check(pixels, region, valid)
        window = _window(region)
        bands = pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, 2, 0)
        with _temporary(self.folder):
            self._tiled.write(bands, window=window)
            if valid is not None:
                self._tiled.write_mask(valid, window=window)
        self._blocks.append(region)
        self._written = _sum(self._written, _counts(bands, valid))

    def finish(self, text: Mapping[str, str]) -> Path:
        """The finished file, in the temporary folder.

        Args:
            text: Goes into the tag GDAL_METADATA, an item each: without control characters.

        Raises:
            ValueError: A part of the image was not written.
            RunError: The temporary folder is full, or fails.
        """
        height, width = self.layout.size
        if sum(block.height * block.width for block in self._blocks) != height * width:
            raise ValueError("blocks do not cover the image")
        made = self.folder / "made.tif"
        with _temporary(self.folder):
            self._tiled.update_tags(**text)
            self._tiled.close()
            _copy(Path(self._tiled.name), made, self.layout)
            os.unlink(self._tiled.name)
            held = _counts_of(made, self.layout)
        # GDAL writes what it has cached when it closes a file, and says nothing where that fails.
        if not np.array_equal(held, self._written):
            raise _failed(self.folder, "what was written is not what was read back")
        return made

    def _check(self, pixels: Array, region: Region, valid: Array | None) -> None:
        layout = self.layout
        shape = region.size if layout.bands == 1 else (*region.size, layout.bands)
        if pixels.dtype != layout.dtype or pixels.shape != shape:
            raise ValueError(f"expected {layout.dtype} {shape}, got {pixels.dtype} {pixels.shape}")
        if (valid is not None) != layout.masked or (valid is not None and valid.shape != region.size):
            raise ValueError("a mask belongs to blocks of a layout that is masked, one of their size")
        if not _lies_in(region, layout.size) or any(_overlap(region, other) for other in self._blocks):
            raise ValueError(f"{region} does not lie in an image of {layout.size}, or was written before")


@contextmanager
def making_cog(layout: Layout, *, compressed: int | None = None, folder: str | None = None) -> Iterator[Cog]:
    """Opens a GeoTIFF for its blocks; when this context ends its temporary files are gone, the finished one as well.

    Args:
        layout: What the file is.
        compressed: Bytes of the same blocks, compressed, where they lie in files already.
        folder: Where temporary files go; None: `$TMPDIR`.

    Raises:
        RunError: There is too little room for them.
    """
    place = folder or tempfile.gettempdir()
    check_room(place, layout, compressed)
    with ExitStack() as stack:
        with _temporary(Path(place)):
            temporary = stack.enter_context(temporary_folder(within=place))
            stack.enter_context(gdal(_CACHE_BYTES, GDAL_TIFF_INTERNAL_MASK="YES"))
            tiled = _open_tiled(temporary / "blocks.tif", layout)
        try:
            yield Cog(layout, temporary, tiled)
        finally:
            with _temporary(Path(place)):
                tiled.close()


def _open_tiled(path: Path, layout: Layout) -> Any:
    import rasterio

    height, width = layout.size
    color = {"photometric": "RGB", "interleave": "pixel"} if layout.bands == 3 else {}
    tiled = rasterio.open(
        path, "w", driver="GTiff", height=height, width=width, count=layout.bands, dtype=layout.dtype,
        nodata=layout.nodata, **color, **TILED_OPTIONS,
    )  # fmt: skip
    _place(tiled, layout.place)
    if layout.palette is not None:
        tiled.write_colormap(1, {i: tuple(map(int, color)) for i, color in enumerate(layout.palette)})
    return tiled


def _place(tiled: Any, place: Place) -> None:
    from rasterio.control import GroundControlPoint
    from rasterio.crs import CRS
    from rasterio.transform import Affine

    if place is None:
        return
    crs = CRS.from_wkt(place.crs) if place.crs else CRS()
    if isinstance(place, GroundPoints):
        points = [GroundControlPoint(row=p.row, col=p.column, x=p.x, y=p.y, z=p.z) for p in place.points]
        tiled.gcps = (points, crs)
        return
    tiled.transform = Affine(*place.transform)
    if place.crs:
        tiled.crs = crs


def _copy(tiled: Path, made: Path, layout: Layout) -> None:
    from rasterio.shutil import copy

    copy(tiled, made, driver="COG", OVERVIEW_RESAMPLING=layout.overviews.upper(), **COG_OPTIONS)


def _counts_of(made: Path, layout: Layout) -> Array:
    """How often each value occurs in a finished file, read in strips."""
    import rasterio

    height, width = layout.size
    found = np.zeros(0, np.int64)
    with rasterio.open(made, driver="GTiff") as file:
        for top in range(0, height, _ROWS):
            window = _window(Region(top, 0, min(_ROWS, height - top), width))
            valid = file.read_masks(1, window=window) > 0 if layout.masked else None
            found = _sum(found, _counts(file.read(window=window), valid))
    return found


def _counts(bands: Array, valid: Array | None) -> Array:
    """How often each value occurs in bands `[C, h, w]`: int64 `[C * K]`, and how many pixels have data."""
    values = int(np.iinfo(bands.dtype).max) + 1
    # In pieces, of which the count makes numbers of eight bytes.
    counted = [
        np.sum([np.bincount(row.ravel(), minlength=values) for row in np.array_split(band, _pieces(band))], axis=0)
        for band in bands
    ]
    return np.concatenate([*counted, [0 if valid is None else np.count_nonzero(valid)]])


def _pieces(band: Array) -> int:
    return min(len(band), 1 + band.size // _PIECE)


def _sum(one: Array, other: Array) -> Array:
    return one + other if one.size else other


def _window(region: Region) -> Any:
    from rasterio.windows import Window

    return Window(region.left, region.top, region.width, region.height)


def _lies_in(region: Region, size: tuple[int, int]) -> bool:
    rows = 0 <= region.top < region.top + region.height <= size[0]
    return rows and 0 <= region.left < region.left + region.width <= size[1]


def _overlap(one: Region, other: Region) -> bool:
    rows = one.top < other.top + other.height and other.top < one.top + one.height
    return rows and one.left < other.left + other.width and other.left < one.left + one.width


@contextmanager
def _temporary(folder: Path) -> Iterator[None]:
    """Turns errors about temporary files, GDAL's and the system's, into `RunError`: no other scene fares better."""
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import RasterioError

    try:
        yield
    except (RasterioError, CPLE_BaseError, OSError) as error:
        raise _failed(folder, str(error)) from None


def _failed(folder: Path, why: str) -> RunError:
    place = folder.parent if folder.name.startswith("maskbeam-") else folder
    return RunError(
        f"A GeoTIFF cannot be written in {place}: {why}; is that disk full? Free some space, or set TMPDIR to a "
        "larger disk, and run the same command again: what is done is kept"
    )
