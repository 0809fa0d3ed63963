"""The area of interest in the reading of rasters: only what is inside is read, the rest is no data."""

import numpy as np

from maskbeam.pipeline.inputs.readers.raster import Raster, RasterRead
from maskbeam.transforms.elements import Array, Grid, Origin, Region
from maskbeam.transforms.errors import Code, ImageError
from maskbeam.transforms.geo.aoi import inside, touches
from maskbeam.transforms.geo.geojson import Aoi


def read_inside(raster: Raster, aoi: Aoi, region: Region) -> RasterRead:
    """A region of a raster, of which nothing is read but the rectangle around what is inside.

    Raises:
        ImageError: As of `Raster.read`; GRID_MISMATCH for a raster that has no place on the earth.
    """
    try:
        within = inside(aoi, _grid(raster), raster.size, region)
    except ValueError as error:
        raise _without_place(error) from None
    values, valid = np.zeros((*region.size, raster.channels), raster.dtype), np.zeros(region.size, np.bool_)
    if within.any():
        part = _around(within)
        box = Region(
            region.top + part[0].start,
            region.left + part[1].start,
            part[0].stop - part[0].start,
            part[1].stop - part[1].start,
        )
        values[part], valid[part] = raster.read(box, within[part])
    return RasterRead(values, valid)


def lies_outside(raster: Raster, aoi: Aoi) -> bool:
    """True for a raster that the area does not touch; errors as in `read_inside`."""
    try:
        return not touches(aoi, _grid(raster), raster.size)
    except ValueError as error:
        raise _without_place(error) from None


def check_place(origin: Origin, aoi: Aoi | None) -> None:
    """Raises ImageError (GRID_MISMATCH) for a picture where there is an area of interest."""
    if aoi is not None and not isinstance(origin.grid, Grid):
        raise _without_place("it is a plain picture")


def _grid(raster: Raster) -> Grid:
    if not isinstance(raster.grid, Grid):
        raise ValueError("it has no transform")
    return raster.grid


def _around(within: Array) -> tuple[slice, slice]:
    """The rows and columns of the rectangle around all that is True, of which there is some."""
    rows, columns = np.flatnonzero(within.any(axis=1)), np.flatnonzero(within.any(axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _without_place(why: object) -> ImageError:
    return ImageError(Code.GRID_MISMATCH, f"--aoi cannot be told on it: {why}")
