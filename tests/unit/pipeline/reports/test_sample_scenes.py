from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskbeam.pipeline.reports import sample_overlays
from maskbeam.transforms.elements import Array
from tests.support.rasters import planes, write_raster
from tests.support.scene_runs import SIZE, draw_scenes, labels_of, run_scenes


def sample(out: Path, name: str = "scene-0") -> Array:
    return np.asarray(Image.open(out / f"reports/samples/{name}.jpg"))


def test_a_scene_has_a_sample_with_its_labels_over_it(tmp_path: Path) -> None:
    draw_scenes(tmp_path / "in")
    assert run_scenes(tmp_path / "in", tmp_path / "out", "--overlay_opacity", "1") == 0
    drawn = sample(tmp_path / "out")
    assert drawn.shape == (*SIZE, 3)
    labels = labels_of(0)
    assert drawn[labels == 255].mean() < 20
    means = [drawn[labels == class_id].mean(axis=0) for class_id in range(3)]
    assert len({tuple(np.round(mean / 32)) for mean in means}) == 3


@pytest.mark.parametrize("flags", [(), ("--head", "multilabel", "--products", "binary")])
def test_large_scenes_are_read_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: tuple[str, ...]) -> None:
    draw_scenes(tmp_path / "in", 1)
    monkeypatch.setattr(sample_overlays, "LONGEST", 30)
    assert run_scenes(tmp_path / "in", tmp_path / "out", *flags) == 0
    assert sample(tmp_path / "out").shape == (24, 30, 3)


def test_pictures_beside_scenes_have_samples_as_well(tmp_path: Path) -> None:
    draw_scenes(tmp_path / "in", 1)
    Image.fromarray(np.moveaxis(planes(3, 20, 30), 0, 2)).save(tmp_path / "in/plain.png")
    assert run_scenes(tmp_path / "in", tmp_path / "out") == 0
    assert sample(tmp_path / "out", "plain").shape == (20, 30, 3)


def test_values_in_the_files_units_are_drawn_on_grey(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    write_raster(tmp_path / "in/scene-0.tif", planes(3, *SIZE, "uint16"))
    flags = ("--input_range", "raw", "--overlay_opacity", "0")
    assert run_scenes(tmp_path / "in", tmp_path / "out", *flags) == 0
    assert np.abs(sample(tmp_path / "out").astype(int) - 128).max() <= 2
