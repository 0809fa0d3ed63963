"""What a run says of rasters that may not be read as they are meant, from the files to the closing lines."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rasterio.enums import ColorInterp

from maskbeam.pipeline.job import job as job_module
from maskbeam.pipeline.reports.raster_warnings import raster_warnings
from maskbeam.transforms.measures.rasters import RASTERS, Rasters
from maskbeam.transforms.tiling.layout import Tiling
from tests.runs.test_area import RING, segment, write_area
from tests.support.rasters import planes, write_raster
from tests.support.report_inputs import sums_with

COLOURS = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha)


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def told(inputs: Path, out: Path, *flags: str) -> tuple[dict[str, int], list[str]]:
    assert segment(inputs, out, *flags) == 0
    summary: dict[str, Any] = json.loads((out / "reports/summary.json").read_text())
    images = {name: number for name, number in summary["images"].items() if name not in ("transparent", "turned")}
    return images, summary["warnings"]


@pytest.mark.parametrize("blocks", [False, True])
def test_scenes_without_data_are_counted_also_by_a_rerun(
    inputs: Path, tmp_path: Path, *, blocks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if blocks:
        monkeypatch.setattr(job_module, "Tiling", partial(Tiling, block_pixels=700, sums_bytes=4000))
    last = planes(3) * 0
    last[:, -1, -1] = 5
    for name, data in (("empty", planes(3) * 0), ("full", planes(3)), ("last", last)):
        write_raster(inputs / f"{name}.tif", data, nodata=0)
    for _ in range(2):
        images, warnings = told(inputs, tmp_path / "out")
        assert images == {"rasters": 3, "with_labels": 2}
        assert any(each.startswith("1 of 3 images has no pixel of any class") for each in warnings)


def test_an_area_that_touches_nothing_is_told_and_one_that_misses_some_is_counted(
    inputs: Path, tmp_path: Path
) -> None:
    write_raster(inputs / "a.tif", planes(3))
    far = write_area(tmp_path / "far.geojson", RING, shift=90000)
    near = write_area(tmp_path / "near.geojson", RING)
    images, warnings = told(inputs, tmp_path / "far", "--aoi", str(far))
    assert images == {"rasters": 1, "outside_aoi": 1}
    assert any(each.startswith("--aoi touches none of 1 image") for each in warnings)
    assert not any("no pixel of any class" in each for each in warnings)
    images, warnings = told(inputs, tmp_path / "near", "--aoi", str(near))
    assert images == {"rasters": 1, "with_labels": 1}
    assert warnings == []


@pytest.mark.parametrize(
    ("name", "flags", "warned"),
    [
        ("T33_N0510_a", ("--input_range", "0,10000"), True),
        ("T33_N0400", ("--input_range", "0,10000"), True),
        ("T33_N0400", (), True),
        ("T33_N0400", ("--input_range", "1000,11000"), False),
        ("T33_N0400", ("--input_range", "raw"), False),
        ("T33_N0399", ("--input_range", "0,10000"), False),
        ("T33_N04000", ("--input_range", "0,10000"), False),
        ("T33", ("--input_range", "0,10000"), False),
    ],
)
def test_a_name_that_tells_of_an_offset_is_held_against_the_range(
    inputs: Path, tmp_path: Path, name: str, flags: tuple[str, ...], *, warned: bool
) -> None:
    write_raster(inputs / f"{name}.tif", planes(3, dtype="uint16") + np.uint16(1000))
    images, warnings = told(inputs, tmp_path / "out", *flags)
    assert images.get("offset_left_in", 0) == warned
    assert any("_N0400 or later" in each and "1000,11000" in each for each in warnings) == warned


@pytest.mark.parametrize(("kind", "warned"), [("infrared", True), ("smoothed", False), ("sharp", False)])
def test_a_band_that_is_called_transparency_and_is_data_is_told(
    inputs: Path, tmp_path: Path, kind: str, *, warned: bool
) -> None:
    data = planes(4)
    if kind != "infrared":
        data[3] = 255
        data[3, :9] = 0
        data[3, 9] = 128 if kind == "smoothed" else 0
    write_raster(inputs / "naip.tif", data, colorinterp=COLOURS)
    images, warnings = told(inputs, tmp_path / "out")
    assert images.get("many_alphas", 0) == warned
    assert (
        any(each.startswith("1 of 1 image: a band that the file calls transparency") for each in warnings) == warned
    )
    if warned:
        assert "many_alphas" not in told(inputs, tmp_path / "named", "--bands", "1,2,4")[0]


def test_of_many_images_numbers_are_told() -> None:
    held = Rasters(rasters=2000, with_labels=1500, outside_aoi=300, many_alphas=1, offset_left_in=2)
    warnings = raster_warnings(sums_with({RASTERS: held}))
    assert [each.split(": ")[0] for each in warnings] == [
        "300 of 2,000 images lie outside of --aoi",
        "200 of 2,000 images have no pixel of any class, as where nothing is data",
        "1 of 2,000 images",
        "2 of 2,000 images",
    ]
    assert raster_warnings(sums_with({})) == []
