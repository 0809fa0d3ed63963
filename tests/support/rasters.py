"""Small georeferenced rasters for the tests, written by rasterio, and ways to read them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.transform import Affine

from maskbeam.pipeline.inputs.readers.handles import RasterFile
from maskbeam.pipeline.inputs.readers.open_raster import open_raster
from maskbeam.pipeline.inputs.readers.raster import Raster, RasterRead
from maskbeam.pipeline.inputs.readers.rules import RasterRules
from maskbeam.transforms.elements import Array, Region

UTM = {"crs": "EPSG:32633", "transform": Affine(10, 0, 500000, 0, -10, 5600000)}


def planes(bands: int = 3, height: int = 61, width: int = 83, dtype: str = "uint8", seed: int = 0) -> Array:
    """Values of chance that a file of this type can hold, `[C, h, w]`: never 0, and whole numbers."""
    return np.random.default_rng(seed).integers(1, 120, (bands, height, width)).astype(dtype)


def write_raster(path: Path, data: Array, *, mask: Array | None = None, inside: bool = True, **said: Any) -> Path:
    """Writes `[C, h, w]`.

    Args:
        path: Where to.
        data: The stored values.
        mask: Bool `[h, w]`, True for data.
        inside: Whether the mask lies in the file, or beside it.
        said: Of rasterio's profile, or one of the dataset: `descriptions`, `colorinterp`, `scales`, `offsets`.
    """
    path.parent.mkdir(exist_ok=True)
    after = {name: said.pop(name) for name in ("descriptions", "colorinterp", "scales", "offsets") if name in said}
    count, height, width = data.shape
    profile = {"driver": "GTiff", "count": count, "height": height, "width": width, "dtype": data.dtype} | UTM | said
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=inside), rasterio.open(path, "w", **profile) as file:
        for name, value in after.items():
            setattr(file, name, value)
        file.write(data)
        if mask is not None:
            file.write_mask(mask)
    return path


def opened(*paths: Path, names: Sequence[str] = (), window: int = 512, **rules: Any) -> Raster:
    """The raster of these files, by rules that are given as attributes of `RasterRules`."""
    files = [RasterFile(str(path), name) for path, name in zip(paths, names or [""] * len(paths), strict=True)]
    return open_raster(files, RasterRules(**rules), window=window)


def whole(*paths: Path, names: Sequence[str] = (), **rules: Any) -> RasterRead:
    """All pixels of a raster, in one read."""
    with opened(*paths, names=names, **rules) as raster:
        return raster.read(Region.whole(raster.size))


def in_windows(raster: Raster, height: int, width: int) -> RasterRead:
    """All pixels of a raster, put together of windows of this size."""
    values = np.zeros((*raster.size, raster.channels), raster.dtype)
    valid = np.zeros(raster.size, bool)
    for top in range(0, raster.size[0], height):
        for left in range(0, raster.size[1], width):
            region = Region(top, left, min(height, raster.size[0] - top), min(width, raster.size[1] - left))
            part = slice(top, top + region.height), slice(left, left + region.width)
            values[part], valid[part] = raster.read(region)
    return RasterRead(values, valid)
