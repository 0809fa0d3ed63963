"""Rasters in whole runs, from the command to the GeoTIFF, with a model that looks at single pixels."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from PIL import Image as PILImage
from rasterio.control import GroundControlPoint
from rasterio.transform import Affine

from maskbeam.pipeline.job import job as job_module
from maskbeam.pipeline.job.job import Job
from maskbeam.pipeline.output.blocks import Blocks, SavedBlock
from maskbeam.pipeline.tally import tally
from maskbeam.pipeline.verify.verify import verify
from maskbeam.transforms.elements import Array, FailedImage, Labels
from maskbeam.transforms.errors import RunError
from maskbeam.transforms.predict import Loader
from maskbeam.transforms.tiling.layout import Tiling
from tests.support.numpy_engine import command, run_numpy
from tests.support.rasters import planes, write_raster
from tests.support.trees import differing, tree_of

PRODUCTS = ("--products", "color,confidence,binary,overlay")


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of about 700 pixels, in columns of at least 4 strides."""
    monkeypatch.setattr(job_module, "Tiling", partial(Tiling, block_pixels=700, sums_bytes=4000))


def read(path: Path) -> Array:
    with rasterio.open(path) as file:
        return np.asarray(file.read(1))


def facts(path: Path) -> dict[str, Any]:
    with rasterio.open(path) as file:
        return {"crs": file.crs, "transform": file.transform, "size": file.shape, "gcps": len(file.gcps[0])}


def largest(data: Array, valid: Array | None = None) -> Array:
    """The band with the largest value `[H, W]`, 255 where there is no data."""
    found = data.argmax(axis=0)
    return found if valid is None else np.where(valid, found, 255)


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"transform": Affine(7, 3, 500000, 2, -9, 5600000)},
        {"transform": Affine(10, 0, 500000, 0, 10, 5600000)},
        {"crs": "EPSG:4326", "transform": Affine(0.01, 0, 10, 0, -0.01, 50)},
        {"crs": None},
    ],
)
def test_masks_lie_on_the_grid_of_their_images(tmp_path: Path, said: dict[str, Any]) -> None:
    data, out = planes(), tmp_path / "out"
    source = write_raster(tmp_path / "in" / "a.tif", data, **said)
    assert run_numpy(command(str(source), str(out), *PRODUCTS)) == 0
    assert np.array_equal(read(out / "masks/a.tif"), largest(data))
    for path in ("masks/a.tif", "color/a.tif", "confidence/a.tif", "binary/class_1/a.tif"):
        assert facts(out / path) == facts(source)
    assert np.array_equal(read(out / "binary/class_1/a.tif") > 0, largest(data) == 1)


@pytest.mark.usefixtures("small_blocks")
def test_scenes_of_many_blocks_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = planes(3, 131, 97, "uint16")
    valid = np.ones((131, 97), bool)
    valid[20:70, :60] = False
    source = write_raster(tmp_path / "in" / "a.tif", data, mask=valid)
    write_raster(tmp_path / "in" / "small.tif", planes(3, 9, 11, "uint16"))
    flags = (str(tmp_path / "in"), "--input_range", "0,200", *PRODUCTS)
    assert run_numpy(command(flags[0], str(tmp_path / "cut"), *flags[1:])) == 0
    assert np.array_equal(read(tmp_path / "cut/masks/a.tif"), largest(data, valid))
    with rasterio.open(tmp_path / "cut/confidence/a.tif") as file:
        assert np.array_equal(file.read_masks(1) > 0, valid)
    assert not (tmp_path / "cut/.blocks").exists()
    assert facts(tmp_path / "cut/masks/a.tif") == facts(source)
    monkeypatch.setattr(job_module, "Tiling", Tiling)
    assert run_numpy(command(flags[0], str(tmp_path / "whole"), *flags[1:])) == 0
    assert differing(tree_of(tmp_path / "cut"), tree_of(tmp_path / "whole")) == []


def run_file(out: Path) -> dict[str, Any]:
    (path,) = (out / "runs").iterdir()
    return dict(json.loads(path.read_text()))


@pytest.mark.parametrize("tiling", [Tiling, partial(Tiling, block_pixels=700, sums_bytes=4000)])
def test_a_run_tells_its_windows_and_what_it_read(
    tmp_path: Path, tiling: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_module, "Tiling", tiling)
    valid = np.ones((131, 97), bool)
    valid[:90] = False
    source = write_raster(tmp_path / "in" / "a.tif", planes(3, 131, 97, "uint16"), mask=valid)
    tally.reset()
    assert run_numpy(command(str(source), str(tmp_path / "out"), "--input_range", "0,200")) == 0
    found = run_file(tmp_path / "out")
    layout = tiling((16, 16), 0.25, "hann", 3).layout((131, 97))
    regions = [region for span in layout.spans() for region in layout.windows_of(span)]
    empty = [region for region in regions if region.top + region.height <= 90]
    assert found["windows_without_data"] == len(empty) > 0
    assert found["windows"] == len(regions) - len(empty) > 0
    read = 131 * 97 if layout.is_one_block else sum(region.height * region.width for region in regions)
    assert found["bytes_read"] == read * 3 * 2
    assert tally.read().pixels == 131 * 97
    assert run_numpy(command(str(source), str(tmp_path / "out"), "--input_range", "0,200")) == 0
    again = [json.loads(path.read_text()) for path in (tmp_path / "out/runs").iterdir()]
    assert sorted(each["windows"] for each in again) == [0, found["windows"]]


# The blocks that were saved; of the module, because what is sent to workers is a copy.
MADE: list[str] = []
real_save = Blocks.save


def noted_save(blocks: Blocks, block: Labels | FailedImage) -> SavedBlock | FailedImage:
    if isinstance(block, Labels):
        MADE.append(f"{block.region.top}-{block.region.left}-")
    return real_save(blocks, block)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("kept", [1, 5, 100])
def test_a_scene_goes_on_from_its_blocks(tmp_path: Path, kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    source, out = write_raster(tmp_path / "in" / "a.tif", planes(3, 131, 97)), tmp_path / "out"
    assert run_numpy(command(str(source), str(tmp_path / "whole"), *PRODUCTS)) == 0

    def labels(blocks: Blocks, block: SavedBlock) -> Labels:
        raise RunError("the machine goes down")

    with monkeypatch.context() as patched:
        patched.setattr(Blocks, "labels", labels)
        assert run_numpy(command(str(source), str(out), *PRODUCTS)) == 1
    blocks = sorted((out / ".blocks").rglob("*.png"))
    assert len(blocks) > 12
    for path in blocks[kept:]:
        path.unlink()
    MADE.clear()
    monkeypatch.setattr(Blocks, "save", noted_save)
    assert run_numpy(command(str(source), str(out), *PRODUCTS)) == 0
    assert len(MADE) == len(blocks[kept:])
    assert not any(path.name.startswith(tuple(MADE)) for path in blocks[:kept]) or not MADE
    assert differing(tree_of(tmp_path / "whole"), tree_of(out)) == []


def test_a_rerun_does_nothing_and_what_is_gone_is_made_again(tmp_path: Path) -> None:
    source, out = write_raster(tmp_path / "in" / "a.tif", planes()), tmp_path / "out"
    assert run_numpy(command(str(source), str(out), *PRODUCTS)) == 0
    first = tree_of(out)
    times = {path: path.stat().st_mtime_ns for path in out.rglob("*.tif")}
    assert run_numpy(command(str(source), str(out), *PRODUCTS)) == 0
    assert times == {path: path.stat().st_mtime_ns for path in out.rglob("*.tif")}
    for gone in ("masks/a.tif.aux.xml", "color/a.tif", "overlay/a.jpg", "masks/a.tif"):
        (out / gone).unlink()
        assert run_numpy(command(str(source), str(out), *PRODUCTS)) == 0
        assert differing(first, tree_of(out)) == []


def test_what_later_products_cost_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = write_raster(tmp_path / "in" / "a.tif", planes()), tmp_path / "out"
    assert run_numpy(command(str(source), str(out))) == 0
    capsys.readouterr()
    assert run_numpy(command(str(source), str(out), "--products", "color,overlay")) == 0
    said = capsys.readouterr().err
    assert "color: not in the masks that are there, so the model does these images again" in said
    assert "overlay: drawn from the masks that are there, without the model" in said


def no_model(job: Job) -> tuple[Loader, Job]:
    def loader() -> Any:
        raise AssertionError("the model is not needed")

    return loader, job


@pytest.mark.parametrize("gcps", [False, True])
def test_overlays_are_drawn_later_without_the_model(tmp_path: Path, gcps: bool) -> None:
    corners = [(row, column) for row in (0, 60) for column in (0, 80)]
    points = [GroundControlPoint(row, column, 10 + column / 99, 50 - row / 99) for row, column in corners]
    said: dict[str, Any] = {"crs": "EPSG:4326", "transform": None, "gcps": points} if gcps else {}
    write_raster(tmp_path / "in" / "a.tif", planes(3, 61, 83), **said)
    PILImage.fromarray(np.moveaxis(planes(3, 20, 30), 0, 2)).save(tmp_path / "in/plain.png")
    flags = (str(tmp_path / "in"), str(tmp_path / "out"), "--mask_format", "geotiff")
    overlay = ("--products", "color,overlay")
    assert run_numpy(command(flags[0], str(tmp_path / "whole"), *flags[2:], *overlay)) == 0
    assert run_numpy(command(*flags, "--products", "color")) == 0
    assert run_numpy(command(*flags, *overlay), make_loader=no_model) == 0
    assert differing(tree_of(tmp_path / "whole"), tree_of(tmp_path / "out")) == []
    first = (tmp_path / "out/overlay/a.jpg").read_bytes()
    assert run_numpy(command(*flags, *overlay, "--overlay_opacity", "1"), make_loader=no_model) == 0
    assert (tmp_path / "out/overlay/a.jpg").read_bytes() != first
    assert verify(str(tmp_path / "out")) == 0


def test_bands_in_files_of_their_own_are_one_image(tmp_path: Path) -> None:
    data, out = planes(3, 60, 80, "uint16"), tmp_path / "out"
    for number, name in enumerate(("B04", "B03", "B02")):
        # The last one at half the resolution.
        step = 2 if name == "B02" else 1
        band = data[number : number + 1, ::step, ::step]
        transform = Affine(10 * step, 0, 500000, 0, -10 * step, 5600000)
        write_raster(tmp_path / "in" / f"T1_{name}.tif", band, transform=transform)
    data[2] = data[2, ::2, ::2].repeat(2, 0).repeat(2, 1)
    pattern = f"{tmp_path}/in/*_{{B04,B03,B02}}.tif"
    assert run_numpy(command(pattern, str(out), "--input_range", "0,200")) == 0
    assert np.array_equal(read(out / "masks/T1.tif"), largest(data))


def test_what_is_wrong_with_a_raster_is_said_and_costs_it_alone(tmp_path: Path) -> None:
    data, out = planes(3, 40, 50, "uint16"), tmp_path / "out"
    write_raster(tmp_path / "in" / "good.tif", data)
    data[1, 21, 33] = 17000
    write_raster(tmp_path / "in" / "beyond.tif", data)
    write_raster(tmp_path / "in" / "four.tif", planes(4, 40, 50, "uint16"))
    assert run_numpy(command(str(tmp_path / "in"), str(out), "--input_range", "0,200")) == 3
    said = (out / "reports/failures.jsonl").read_text()
    assert "17000 at row 21, column 33" in said
    assert "4 bands (1, 2, 3, 4), the model takes 3" in said
    assert [path.name for path in (out / "masks").glob("*.tif")] == ["good.tif"]
    # What is done had no such value; what failed is tried again.
    clip = ("--input_range", "0,200", "--out_of_range", "clip")
    assert run_numpy(command(str(tmp_path / "in"), str(out), *clip)) == 3
    assert read(out / "masks/beyond.tif")[21, 33] == 1


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (("--upsample", "labels"), "--upsample labels gives masks another grid"),
        (("--resize", "stretch"), "--resize stretch gives masks another grid"),
        (("--mask_format", "png", "--bands", "1,2,3"), "--bands is for rasters"),
        (("--mask_format", "png", "--input_range", "raw"), "--input_range of each band, or raw, is for rasters"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(tmp_path: Path, flags: tuple[str, ...], reason: str) -> None:
    source = write_raster(tmp_path / "in" / "a.tif", planes())
    with pytest.raises(RunError, match=reason):
        run_numpy(command(str(source), str(tmp_path / "out"), *flags))


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_pictures_without_a_place_stay_png(tmp_path: Path) -> None:
    source = write_raster(tmp_path / "in" / "a.tif", planes(), crs=None, transform=None)
    assert run_numpy(command(str(source), str(tmp_path / "out"))) == 0
    assert [path.name for path in (tmp_path / "out/masks").iterdir()] == ["a.png"]
    assert run_numpy(command(str(source), str(tmp_path / "geo"), "--mask_format", "geotiff")) == 0
    assert np.array_equal(read(tmp_path / "geo/masks/a.tif"), largest(planes()))
