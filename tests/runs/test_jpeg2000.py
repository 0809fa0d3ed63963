"""Scenes in JPEG 2000, as Sentinel-2 has them: listed and read in runs of GeoTIFFs, left out as ever in others."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

from maskbeam.transforms.elements import Array
from maskbeam.transforms.errors import RunError
from tests.runs.test_area import segment
from tests.support.rasters import UTM, planes, write_raster
from tests.support.trees import save

LOSSLESS: dict[str, Any] = {"driver": "JP2OpenJPEG", "QUALITY": 100, "REVERSIBLE": "YES"}
GRANULE = "S2A_N0510_X.SAFE/GRANULE/L2A_T33_A1/IMG_DATA"


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def strongest(data: Array) -> Array:
    return np.asarray(data.argmax(0), np.uint8)


def mask(path: Path) -> Any:
    with rasterio.open(path) as file:
        assert (file.crs.to_epsg(), file.transform) == (32633, UTM["transform"])
        return file.read(1)


def test_a_folder_of_them_is_a_run_of_geotiffs(inputs: Path, tmp_path: Path) -> None:
    data = planes(3)
    write_raster(inputs / "a.JP2", data, **LOSSLESS)
    assert segment(inputs, tmp_path / "out") == 0
    assert np.array_equal(mask(tmp_path / "out/masks/a.tif"), strongest(data))


def test_in_a_run_of_pngs_they_are_left_out(inputs: Path, tmp_path: Path) -> None:
    write_raster(inputs / "a.jp2", planes(3), **LOSSLESS)
    with pytest.raises(RunError, match=r"matches no image.*1 JPEG 2000"):
        segment(inputs, tmp_path / "none", "--mask_format", "png")
    save(inputs / "b.png", np.full((4, 4, 3), 7, np.uint8))
    assert segment(inputs, tmp_path / "out", "--mask_format", "png") == 0
    summary = json.loads((tmp_path / "out/reports/summary.json").read_text())
    assert (summary["inputs"], summary["left_out"]["JPEG 2000"]) == (1, 1)
    assert segment(inputs, tmp_path / "out") == 0, "an output keeps its format"


def test_bands_of_a_safe_folder_are_one_image_on_the_first_ones_grid(inputs: Path, tmp_path: Path) -> None:
    fine, coarse = planes(2, 60, 80, "uint16", seed=1), planes(1, 30, 40, "uint16", seed=2)
    folder = inputs / GRANULE
    for name in ("R10m", "R20m"):
        (folder / name).mkdir(parents=True)
    for band, values in zip(("B04", "B03"), fine, strict=True):
        write_raster(folder / f"R10m/T33_2024_{band}_10m.jp2", values[None], **LOSSLESS)
    grid: dict[str, Any] = {"transform": Affine(20, 0, 500000, 0, -20, 5600000)}
    write_raster(folder / "R20m/T33_2024_B11_20m.jp2", coarse, **LOSSLESS, **grid)
    pattern = inputs / "*.SAFE/GRANULE/*/IMG_DATA/{R10m/*_B04_10m,R10m/*_B03_10m,R20m/*_B11_20m}.jp2"
    out = tmp_path / "out"
    assert segment(pattern, out, "--bands", "B04,B03,B11", "--input_range", "0,255") == 0
    (found,) = (out / "masks").rglob("*.tif")
    assert str(found.relative_to(out / "masks")) == f"{GRANULE}.tif"
    assert np.array_equal(mask(found), strongest(np.concatenate([fine, coarse.repeat(2, 1).repeat(2, 2)])))


def test_a_scene_may_be_larger_than_a_picture(inputs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("maskbeam.pipeline.inputs.fetch.MAX_FILE_BYTES", 1000)
    write_raster(inputs / "a.tif", planes(3))
    assert (inputs / "a.tif").stat().st_size > 1000
    assert segment(inputs, tmp_path / "out") == 0
    assert segment(inputs, tmp_path / "png", "--mask_format", "png") == 3
