"""Files of scenes that are of no use any more: those of inputs that are gone, and those that other options made."""

from pathlib import Path

import pytest

from maskbeam.pipeline.commands.clean import clean
from maskbeam.pipeline.verify.verify import verify
from tests.support.scene_runs import draw_scenes, run_scenes


def files(out: Path, name: str = "*") -> list[str]:
    kinds = ("masks", "color", "confidence", "binary")
    return sorted(str(path.relative_to(out)) for kind in kinds for path in (out / kind).rglob(f"{name}.*"))


def test_clean_removes_all_files_of_a_scene_that_is_gone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw_scenes(tmp_path / "in")
    inputs, out = tmp_path / "in", tmp_path / "out"
    assert run_scenes(inputs, out, "--products", "color,confidence,binary") == 0
    kept, gone = files(out, "scene-0"), files(out, "scene-1")
    assert len(gone) == 7
    (inputs / "scene-1.tif").unlink()
    assert run_scenes(inputs, out, "--products", "color,confidence,binary") == 0
    assert verify(str(out)) == 0
    told = capsys.readouterr().out
    assert [f"ORPHAN    {path}" in told for path in gone] == [True] * 7
    assert clean(str(out), yes=True) == 0
    assert "Removed 1 mask of inputs that are gone, and 6 other files." in capsys.readouterr().out
    assert files(out) == kept


def test_overwriting_leaves_no_pictures_beside_geotiffs(tmp_path: Path) -> None:
    draw_scenes(tmp_path / "in", 1)
    inputs, out = tmp_path / "in", tmp_path / "out"
    assert run_scenes(inputs, out, "--mask_format", "png", "--products", "color,binary") == 0
    assert files(out) == [
        "binary/class_0/scene-0.png",
        "binary/class_1/scene-0.png",
        "binary/class_2/scene-0.png",
        "color/scene-0.png",
        "masks/scene-0.png",
    ]
    assert run_scenes(inputs, out, "--overwrite", "--products", "color") == 0
    assert files(out) == ["color/scene-0.tif", "masks/scene-0.tif", "masks/scene-0.tif.aux.xml"]
    assert run_scenes(inputs, out, "--overwrite", "--mask_format", "png") == 0
    assert files(out) == ["masks/scene-0.png"]
