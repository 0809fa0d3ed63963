"""Small runs whose masks are GeoTIFFs, with the engine of plain numpy."""

from pathlib import Path
from typing import Any

import numpy as np

from maskbeam.transforms.elements import Array
from tests.support.numpy_engine import command, run_numpy
from tests.support.rasters import planes, write_raster

SIZE = 70, 90


def draw_scenes(folder: Path, count: int = 2, **said: Any) -> None:
    """Rasters `scene-0.tif` and so on of three bands of chance, without data in a corner; `said` as of rasters."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        data = planes(3, *SIZE, seed=number)
        data[:, :9, :5] = 0
        write_raster(folder / f"scene-{number}.tif", data, **{"nodata": 0, **said})


def run_scenes(inputs: Path, out: Path, *flags: str) -> int:
    """A run over them."""
    return run_numpy(command(str(inputs), str(out), "--mask_format", "geotiff", *flags))


def labels_of(number: int) -> Array:
    """The labels `[h, w]` of a scene: the strongest band, 255 where there is no data."""
    data = planes(3, *SIZE, seed=number)
    labels: Array = data.argmax(0).astype(np.uint8)
    labels[:9, :5] = 255
    return labels
