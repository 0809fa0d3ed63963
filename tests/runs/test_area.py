"""An area of interest, from the command to the masks."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from pyproj import Transformer
from rasterio.features import geometry_mask

from maskbeam.pipeline.job import job as job_module
from maskbeam.transforms.errors import RunError
from maskbeam.transforms.tiling.layout import Tiling
from tests.support.numpy_engine import command, run_numpy
from tests.support.rasters import UTM, planes, write_raster
from tests.support.trees import tree_of

SIZE = (61, 83)
RING = [(500202.0, 5599899.0), (500607.0, 5599817.0), (500319.0, 5599556.0)]


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return write_raster(tmp_path / "in/a.tif", planes(3, *SIZE))


def write_area(path: Path, ring: list[tuple[float, float]], *, shift: float = 0.0, indent: int | None = None) -> Path:
    """A polygon of ground coordinates, written in longitude and latitude."""
    to_earth = Transformer.from_crs(32633, 4326, always_xy=True)
    points = [to_earth.transform(x + shift, y) for x, y in [*ring, ring[0]]]
    path.write_text(json.dumps({"type": "Polygon", "coordinates": [points]}, indent=indent))
    return path


def segment(inputs: Path, out: Path, *flags: str) -> int:
    return run_numpy(command(str(inputs), str(out), "--normalize", "none", *flags))


def mask(out: Path) -> Any:
    with rasterio.open(out / "masks/a.tif") as file:
        return file.read(1)


def inside() -> Any:
    return geometry_mask(
        [{"type": "Polygon", "coordinates": [[*RING, RING[0]]]}], SIZE, UTM["transform"], invert=True
    )


@pytest.mark.parametrize("blocks", [False, True])
def test_a_mask_is_that_of_the_whole_scene_inside_and_empty_outside(
    scene: Path, tmp_path: Path, *, blocks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if blocks:
        monkeypatch.setattr(job_module, "Tiling", partial(Tiling, block_pixels=700, sums_bytes=4000))
    area = write_area(tmp_path / "field.geojson", RING)
    assert segment(scene.parent, tmp_path / "all") == 0
    assert segment(scene.parent, tmp_path / "out", "--aoi", str(area)) == 0
    assert np.array_equal(mask(tmp_path / "out"), np.where(inside(), mask(tmp_path / "all"), 255))
    summary = json.loads((tmp_path / "out/reports/summary.json").read_text())
    assert summary["pixels"]["labelled"] == inside().sum()


def test_an_output_belongs_to_its_polygons_and_not_to_their_file(scene: Path, tmp_path: Path) -> None:
    first, out = write_area(tmp_path / "a.geojson", RING), tmp_path / "out"
    assert segment(scene.parent, out, "--aoi", str(first)) == 0
    before = tree_of(out / "masks")
    again = write_area(tmp_path / "b.geojson", RING, indent=2)
    first.unlink()
    assert segment(scene.parent, out, "--aoi", str(again)) == 0
    assert tree_of(out / "masks") == before
    assert b"geojson" not in (out / "reports/summary.json").read_bytes()
    other = write_area(tmp_path / "c.geojson", RING, shift=70)
    with pytest.raises(RunError, match="--aoi: it had other polygons"):
        segment(scene.parent, out, "--aoi", str(other))
    with pytest.raises(RunError, match="--aoi: given, now not"):
        segment(scene.parent, out)
    assert segment(scene.parent, out, "--aoi", str(other), "--overwrite") == 0
    assert tree_of(out / "masks") != before


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "there is no such file"),
        ("", "no JSON"),
        ("[]", "no GeoJSON object"),
        ('{"type": "FeatureCollection", "features": []}', "without any polygon"),
        ('{"type": "Point", "coordinates": [1, 2]}', "without any polygon"),
        ("\udcff", "no UTF-8"),
    ],
)
def test_a_file_without_polygons_ends_the_command_and_nothing_is_written(
    scene: Path, tmp_path: Path, text: str | None, said: str
) -> None:
    area = tmp_path / "area.geojson"
    if text is not None:
        area.write_text(text, errors="surrogateescape")
    with pytest.raises(RunError, match=said):
        segment(scene.parent, tmp_path / "out", "--aoi", str(area))
    assert not (tmp_path / "out").exists()


def test_a_run_of_pngs_has_no_area(scene: Path, tmp_path: Path) -> None:
    area = write_area(tmp_path / "field.geojson", RING)
    with pytest.raises(RunError, match="--aoi is for rasters"):
        segment(scene.parent, tmp_path / "out", "--aoi", str(area), "--mask_format", "png")
