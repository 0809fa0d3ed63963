"""The inputs: scenes of any size as satellites deliver them, and the model, made when first asked for and kept."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.transform import Affine
from rasterio.windows import Window

from maskbeam.pipeline.commands.demo.scenes import draw_scene
from maskbeam.transforms.elements import Array

SIZE, BANDS, CLASSES = 128, 4, 5
# Values of bands that mean 0 and 1 to the model, as reflectances are stored; 0 alone is no data.
RANGE, NODATA = (0, 10_000), 0
# Drawing costs a tenth of a second each; so many of them, mirrored and in a new order, fill any scene.
_PIECES, _SIDE = 24, 512
# What peers call their mask.
MASK = "mask.tif"
TILED = {"driver": "GTiff", "tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate"}
_PLACE = {"crs": "EPSG:32633", "transform": Affine(10, 0, 500_000, 0, -10, 5_600_000)}


class Inputs:
    """The inputs below `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def scene(self, side: int, *, half: bool = False) -> Path:
        """A scene of `side` x `side` pixels; of one that is `half` there, what lies below its diagonal is no data."""
        path = self._folder / f"{side}{'-half' if half else ''}.tif"
        if not path.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            _write(path.with_suffix(".part"), side, half=half)
            path.with_suffix(".part").rename(path)
        return path

    def model(self) -> Path:
        """The tutorial's U-Net of 128 x 128, its three bands and classes mixed into four and five."""
        path = self._folder / f"unet-{SIZE}-{BANDS}-{CLASSES}.keras"
        if not path.exists():
            from benchmarks.unet import enlarged, train_unet

            self._folder.mkdir(parents=True, exist_ok=True)
            enlarged(train_unet(), SIZE, CLASSES, channels=BANDS).save(path)
        return path


def on_scale(stored: Array) -> Array:
    """Stored values `[C, h, w]` as the model takes them, float32 `[h, w, C]` of 0..1."""
    low, high = RANGE
    return np.moveaxis(stored.astype(np.float32) - np.float32(low), 0, 2) / np.float32(high - low)


def writing(path: Path, like: Any) -> Any:
    """A GeoTIFF for labels on the grid of an open raster, opened for writing."""
    size = {"height": like.height, "width": like.width, "count": 1, "dtype": "uint8"}
    return rasterio.open(path, "w", **TILED, **size, crs=like.crs, transform=like.transform)


def _write(path: Path, side: int, *, half: bool) -> None:
    size = {"height": side, "width": side, "count": BANDS, "dtype": "uint16", "nodata": NODATA, "BIGTIFF": "IF_SAFER"}
    with rasterio.open(path, "w", **TILED, **size, **_PLACE) as file:
        for top, rows in _strips(side):
            if half:
                rows[:, np.add.outer(np.arange(top, top + rows.shape[1]), np.arange(side)) >= side] = NODATA
            file.write(rows, window=Window(0, top, side, rows.shape[1]))


def _strips(side: int, *, seed: int = 0) -> Iterator[tuple[int, Array]]:
    """Drawn scenes side by side, strip after strip: its first row, and its values uint16 `[4, h, side]`."""
    rng = np.random.default_rng(seed)
    pieces = [_bands(draw_scene(seed + number, _SIDE, _SIDE)[0]) for number in range(_PIECES)]
    for top in range(0, side, _SIDE):
        chosen = [pieces[rng.integers(_PIECES)] for _ in range(0, side, _SIDE)]
        mirrored = [piece[:, :: rng.choice((-1, 1)), :: rng.choice((-1, 1))] for piece in chosen]
        yield top, np.concatenate(mirrored, axis=2)[:, : side - top, :side]


def _bands(picture: Array) -> Array:
    """A picture uint8 `[h, w, 3]` as bands uint16 `[4, h, w]` of 1..9946; the fourth is made of the others."""
    rgb = np.moveaxis(picture.astype(np.uint16), 2, 0)
    return 1 + 39 * np.concatenate([rgb, (rgb[:1] + 2 * rgb[1:2] + rgb[2:]) // 4])
