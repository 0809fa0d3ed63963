from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskbeam.pipeline.output.geotiff import overlay as module
from maskbeam.transforms.elements import Array
from tests.support.rasters import planes, write_raster
from tests.support.scene_runs import SIZE, labels_of, run_scenes

OVERLAY = ("--products", "overlay", "--overlay_opacity")


def drawn(out: Path, name: str) -> Array:
    return np.asarray(Image.open(out / f"overlay/{name}.jpg")).astype(int)


def smooth(size: tuple[int, int]) -> Array:
    """Three bands `[3, h, w]` uint8 that JPEG keeps as they are."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    return np.stack([rows, columns, rows + columns]).astype(np.uint8) + np.uint8(20)


@pytest.mark.parametrize("longest", [4096, 30])
def test_scenes_and_pictures_are_drawn_on_as_small_as_asked_for(
    tmp_path: Path, longest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LONGEST", longest)
    bands = smooth(SIZE)
    write_raster(tmp_path / "in/scene.tif", bands)
    Image.fromarray(np.moveaxis(bands, 0, 2)).save(tmp_path / "in/plain.png")
    assert run_scenes(tmp_path / "in", tmp_path / "out", *OVERLAY, "0") == 0
    step = 1 if longest > 90 else 3
    expected = np.moveaxis(bands, 0, 2)[::step, ::step].astype(int)
    for name in ("scene", "plain"):
        assert drawn(tmp_path / "out", name).shape == expected.shape
        assert np.abs(drawn(tmp_path / "out", name) - expected).max() <= 8


def test_values_in_the_files_units_have_grey_below_their_labels(tmp_path: Path) -> None:
    write_raster(tmp_path / "in/scene-0.tif", planes(3, *SIZE, "uint16"))
    assert run_scenes(tmp_path / "in", tmp_path / "out", "--input_range", "raw", *OVERLAY, "0") == 0
    assert np.abs(drawn(tmp_path / "out", "scene-0") - 128).max() <= 2


def test_labels_are_laid_over(tmp_path: Path) -> None:
    write_raster(tmp_path / "in/scene-0.tif", planes(3, *SIZE, seed=0))
    assert run_scenes(tmp_path / "in", tmp_path / "out", *OVERLAY, "1") == 0
    found, labels = drawn(tmp_path / "out", "scene-0"), labels_of(0)
    means = [found[labels == class_id].mean(axis=0) for class_id in range(3)]
    assert len({tuple(np.round(mean / 32)) for mean in means}) == 3
