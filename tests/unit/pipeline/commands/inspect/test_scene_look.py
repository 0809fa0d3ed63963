"""Scenes as `maskbeam inspect` reads them: by the rules of a run, a few windows of each."""

import json
import shlex
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from maskbeam.pipeline.cli.parser import run_options
from maskbeam.pipeline.commands.inspect.scene_look import lattice
from maskbeam.pipeline.inputs.readers.raster import Raster
from maskbeam.pipeline.main import main
from maskbeam.transforms.elements import Array, Region
from maskbeam.transforms.tiling.layout import Tiling
from tests.support.rasters import planes, write_raster

SIZE = 16


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The band of four that is largest, in windows of 16 x 16."""
    path: Path = tmp_path_factory.mktemp("model") / "model.keras"
    image = keras.Input((SIZE, SIZE, 4))
    kernel = np.eye(4, dtype=np.float32)[None, None]
    layer = keras.layers.Conv2D(4, 1, use_bias=False, kernel_initializer=keras.initializers.Constant(kernel))
    keras.Model(image, layer(image)).save(path)
    return path


def inspected(model: Path, source: Path | str, out: Path, *flags: str) -> list[str]:
    return ["inspect", "--model", str(model), "--input", str(source), "--output", str(out), *flags]


def scene(path: Path, **said: Any) -> Array:
    """A scene of four bands of 16 bits, whose upper half is no data."""
    data = planes(4, 96, 80, "uint16")
    data[:, :48] = 0
    data[0, 48:] += 80
    write_raster(path, data, **said)
    return data


def test_a_scene_is_told_and_fed_as_a_run_reads_it(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scene(tmp_path / "in/a.tif", descriptions=("red", "green", "blue", "nir"), nodata=0)
    command = inspected(model, tmp_path / "in", tmp_path / "out", "--input_range", "0,200", "--normalize", "none")
    assert main([*command, "--format", "json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    (told,) = facts["scenes"]
    assert (told["image_id"], told["height"], told["width"]) == ("a", 96, 80)
    assert told["place"] == {"crs": "EPSG:32633", "pixel": "10 x 10 metre", "points": 0}
    assert told["windows"] == 8 * 7, "every 12 rows and columns, and at the edges"
    assert told["looked_at"] == 9
    assert 0.3 < told["no_data"] < 0.7
    assert [(band["number"], band["name"], band["dtype"]) for band in told["bands"]] == [
        (1, "red", "uint16"), (2, "green", "uint16"), (3, "blue", "uint16"), (4, "nir", "uint16"),
    ]  # fmt: skip
    assert told["bands"][0]["highest"] > 190
    assert told["bands"][1]["fed_highest"] == pytest.approx(told["bands"][1]["highest"] / 200 * 255, rel=1e-4)
    assert max(facts["ways"][0]["shares"], key=facts["ways"][0]["shares"].get) == "class_0", "red is brightest"
    assert (tmp_path / "out/inspect.png").exists()
    found = run_options(shlex.split(facts["command"])[2:])
    assert (found.decode.input_range, found.output.mask_format) == ((0.0, 200.0), None)
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "a: 96 x 80 pixels, each of 10 x 10 metre in EPSG:32633" in said
    assert "band 4 nir, uint16: " in said


def test_the_flags_of_rasters_are_heeded(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = planes(6, 40, 50, "int16")
    data[5] = np.where(np.arange(50) < 25, 8, 4)
    names = ("b1", "b2", "b3", "b4", "b5", "SCL")
    write_raster(tmp_path / "a.tif", data, descriptions=names, scales=(2.0,) * 6, offsets=(10.0,) * 6)
    flags = ("--bands", "b4,3,2,b1", "--invalid", "SCL=8", "--apply_scale", "--input_range", "0,1000")
    command = inspected(model, tmp_path / "a.tif", tmp_path, "--normalize", "none", "--format", "json", *flags)
    assert main(command) == 0
    (told,) = json.loads(capsys.readouterr().out)["scenes"]
    assert [band["number"] for band in told["bands"]] == [4, 3, 2, 1]
    assert told["bands"][0]["lowest"] >= 2 * data[3].min() + 10
    assert told["bands"][0]["highest"] <= 2 * data[3].max() + 10
    columns = [column for first in (0, 24, 34) for column in range(first, first + SIZE)]
    assert told["no_data"] == pytest.approx(np.mean([column < 25 for column in columns]))
    assert main([*command, "--nodata", "none", "--out_of_range", "ignore", "--input_range", "0,100"]) == 0
    (ignored,) = json.loads(capsys.readouterr().out)["scenes"]
    assert ignored["bands"][0]["highest"] <= 100


def test_bands_in_files_of_their_own_and_values_in_their_own_units(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = planes(4, 40, 50, "float32")
    for number, name in enumerate(("B04", "B03", "B02", "B08")):
        write_raster(tmp_path / "in" / f"T1_{name}.tif", data[number : number + 1])
    pattern = f"{tmp_path}/in/*_{{B08,B04,B03,B02}}.tif"
    command = inspected(model, pattern, tmp_path, "--input_range", "raw")
    assert main([*command, "--format", "json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    (told,) = facts["scenes"]
    assert [(band["number"], band["name"]) for band in told["bands"]] == [
        (1, "B08"),
        (2, "B04"),
        (3, "B03"),
        (4, "B02"),
    ]
    assert told["is_raw"]
    assert told["bands"][0]["fed_highest"] <= data[3].max()
    assert {way["normalize"] for way in facts["ways"]} == {"none"}, "named scalings are of 0..255"
    assert main([*command, "--normalize", "imagenet"]) == 2
    assert "--normalize imagenet scales values of 0..255" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_what_a_run_would_refuse_is_said(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scene(tmp_path / "in/a.tif")
    write_raster(tmp_path / "in/b.tif", planes(3, 40, 50, "uint16"))
    write_raster(tmp_path / "in/empty.tif", np.zeros((4, 40, 50), np.uint16), nodata=0)
    write_raster(tmp_path / "in/dark.tif", planes(4, 40, 50, "uint16"), crs=None, transform=None)
    command = inspected(model, tmp_path / "in", tmp_path, "--normalize", "none")
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "3 bands (1, 2, 3), the model takes 4: choose with --bands" in said
    assert "100.0% of the pixels are no data" in said
    assert "less than a tenth of 0..255: say with --input_range" in said
    assert "without a place on the earth" in said
    assert "2 images, fed in 1 way" in said
    assert main([*command, "--input_range", "0,100"]) == 2
    assert "lies beyond the range 0 to 100" in capsys.readouterr().out


def test_a_large_scene_is_not_read_whole(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_raster(tmp_path / "a.tif", planes(4, 400, 400, "uint16"))
    read: list[Region] = []
    real = Raster.read

    def noted(raster: Raster, region: Region, within: Array | None = None) -> Any:
        read.append(region)
        return real(raster, region, within)

    monkeypatch.setattr(Raster, "read", noted)
    monkeypatch.setattr(Raster, "thumbnail", None)
    assert main(inspected(model, tmp_path / "a.tif", tmp_path, "--normalize", "none")) == 0
    assert [region.size for region in read] == [(SIZE, SIZE)] * 9


@pytest.mark.parametrize("size", [(10, 9), (16, 30), (500, 700), (16, 4000)])
def test_windows_that_are_looked_at_are_windows_of_a_run(size: tuple[int, int]) -> None:
    layout = Tiling((16, 16)).layout(size)
    of_run = {region for span in layout.spans() for region in layout.windows_of(span)}
    found = lattice(layout)
    assert set(found) <= of_run
    assert len(set(found)) == len(found) == min(3, len(layout.rows)) * min(3, len(layout.columns))
