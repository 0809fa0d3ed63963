"""The rate that a dry run tells, held against a clock that goes on by a second a call of the model."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from maskbeam.pipeline.job import scene_rate
from maskbeam.pipeline.job.scene_rate import measured
from maskbeam.pipeline.job.scene_sizes import Rate
from maskbeam.transforms.elements import Array, ModelInput, Origin, Placement, Region, Source, Window
from maskbeam.transforms.predict import Scores
from tests.runs.test_area import RING, segment, write_area
from tests.support.rasters import planes, write_raster


@dataclass
class Engine:
    """Takes two seconds for a batch of four windows, and ten for its first one."""

    batch_size: int = 4
    now: float = 0.0
    calls: list[int] = field(default_factory=list)

    def __call__(self, planes: Array) -> Scores:
        if (planes == 13).any():
            raise ValueError
        self.now += 2.0 if self.calls else 10.0
        self.calls.append(len(planes))
        return Scores(planes.astype(np.float32), np.zeros(len(planes), int), np.zeros(len(planes), int))


def windows(count: int, value: int = 0) -> Iterator[ModelInput]:
    origin, region = Origin("a", Source("a", "1"), (8, 8)), Region(0, 0, 8, 8)
    place = Placement(8, 8, 8, 8, 0, 0, 8, 8)
    for number in range(count):
        yield ModelInput(
            origin, region, place, np.full((8, 8, 3), value, np.uint8), window=Window((0, 0), number, count)
        )


def test_the_first_batch_and_one_that_is_not_full_are_left_out() -> None:
    engine = Engine()
    assert measured(windows(100), engine, lambda: engine.now) == Rate(8, 4.0)
    assert engine.calls == [4, 4, 4]
    engine = Engine()
    assert measured(windows(11), engine, lambda: engine.now) == Rate(4, 2.0)


@pytest.mark.parametrize(("count", "value"), [(7, 0), (0, 0), (100, 13)])
def test_of_too_few_windows_or_a_model_that_fails_nothing_is_said(count: int, value: int) -> None:
    engine = Engine()
    assert measured(windows(count, value), engine, lambda: engine.now) is None


def told(inputs: Path, out: Path, capsys: pytest.CaptureFixture[str], *flags: str) -> list[str]:
    assert segment(inputs, out, "--dry_run", *flags) == 0
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith("Time ")]


def test_a_dry_run_tells_the_time_of_all_windows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scene_rate, "measured", lambda *_: Rate(40, 8.0))
    for name in "ab":
        write_raster(tmp_path / f"in/{name}.tif", planes(3, 61, 83))
    # Windows of 16, 12 apart: 5 rows and 7 columns, of two scenes, 0.2 seconds each.
    (line,) = told(tmp_path / "in", tmp_path / "out", capsys)
    assert line == "Time     about 14 s for 70 windows, at 5.0 a second, as 40 of a scene took on this machine"


def test_scenes_without_data_or_that_cannot_be_read_have_no_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scene_rate, "_SECONDS", 0.0)
    monkeypatch.setattr(scene_rate, "_MOST", 64)
    source = write_raster(tmp_path / "in/a.tif", planes(3, 61, 83))
    (line,) = told(tmp_path / "in", tmp_path / "out", capsys)
    assert line.endswith("as 8 of a scene took on this machine")
    area = write_area(tmp_path / "field.geojson", RING)
    assert len(told(tmp_path / "in", tmp_path / "out", capsys, "--aoi", str(area))) == 1
    write_raster(source, np.zeros((3, 61, 83), np.uint8), nodata=0)
    assert not told(tmp_path / "in", tmp_path / "out", capsys)
    source.write_bytes(b"II*\0" + bytes(99))
    assert not told(tmp_path / "in", tmp_path / "out", capsys, "--mask_format", "geotiff")
