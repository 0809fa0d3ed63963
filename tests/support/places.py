"""Places on the earth, and blocks of images, for the tests of all that is georeferenced."""

from collections.abc import Iterator
from functools import cache

import numpy as np

from maskbeam.transforms.elements import Array, Grid, Region

NORTH_UP = (10.0, 0.0, 300000.0, 0.0, -10.0, 5700000.0)


@cache
def wkt(code: int) -> str:
    """The WKT of an EPSG code, as rasterio gives it to who opens a file."""
    from rasterio.crs import CRS

    return str(CRS.from_epsg(code).to_wkt())


def utm(transform: tuple[float, float, float, float, float, float] = NORTH_UP) -> Grid:
    return Grid(wkt(32633), transform)


def blobs(height: int, width: int, *, classes: int = 5, seed: int = 0) -> Array:
    """Class ids `[H, W]` uint8 in patches of some pixels, as models give them."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, classes, (height // 7 + 1, width // 9 + 1), dtype=np.uint8)
    return coarse.repeat(7, axis=0).repeat(9, axis=1)[:height, :width]


def cut(size: tuple[int, int], height: int, width: int) -> Iterator[Region]:
    """An image's blocks of this size, smaller ones at its end, row by row."""
    for top in range(0, size[0], height):
        for left in range(0, size[1], width):
            yield Region(top, left, min(height, size[0] - top), min(width, size[1] - left))


def within(region: Region, pixels: Array) -> Array:
    """The part of an image `[H, W, ...]` that a region is."""
    return pixels[region.top : region.top + region.height, region.left : region.left + region.width]
