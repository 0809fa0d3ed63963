"""Images whose bands are files of their own, in whole runs: found, named, counted, and refused in words."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskbeam.transforms.errors import RunError
from tests.support.numpy_engine import command, run_numpy
from tests.support.trees import save

PATTERN = "*_{B04,B03,B02}.png"


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    """Three whole images, one that lacks a band, and a plain picture beside them."""
    for name in ("T0", "T1", "T2", "T3"):
        for band in ("B02", "B03", "B04"):
            if (name, band) != ("T2", "B03"):
                save(tmp_path / "in" / f"{name}_{band}.png", np.full((8, 8), 7, np.uint8))
    save(tmp_path / "plain/a.png", np.zeros((8, 8, 3), np.uint8))
    return tmp_path / "in"


def segment(scenes: Path, out: Path, *flags: str, pattern: str = PATTERN) -> int:
    inputs = [f"{scenes}/{pattern}", f"{scenes.parent}/plain"]
    return run_numpy(command(inputs, str(out), "--max_failures", "100%", *flags))


def failures(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "reports/failures.jsonl").read_text().splitlines()]


def summary(out: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((out / "reports/summary.json").read_text())
    return read


def test_each_image_is_counted_once_and_never_made_of_its_first_band(scenes: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert segment(scenes, out) == 0
    found = failures(out)
    assert [(each["id"], each["code"]) for each in found] == [
        ("T0", "UNSUPPORTED_FORMAT"),
        ("T1", "UNSUPPORTED_FORMAT"),
        ("T2", "SOURCE_MISSING"),
        ("T3", "UNSUPPORTED_FORMAT"),
    ]
    assert found[0]["reason"] == "its bands are 3 files, and masks are PNGs: join them"
    assert found[2]["reason"] == "the file of band B03 is not there, or cannot be read"
    assert [each["where"] for each in found] == [f"{scenes}/T{n}_{{B04,B03,B02}}.png" for n in range(4)]
    counts = summary(out)
    assert (counts["inputs"], counts["done"], counts["failed"], counts["duplicate"]) == (5, 1, 4, 0)
    assert counts["reconciles"]
    assert [path.name for path in (out / "masks").rglob("*.png")] == ["a.png"]


def test_a_rerun_says_the_same_and_notices_a_band_that_has_come(scenes: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    segment(scenes, out)
    first = failures(out)
    segment(scenes, out)
    assert failures(out) == first
    save(scenes / "T2_B03.png", np.zeros((8, 8), np.uint8))
    segment(scenes, out)
    assert [each["code"] for each in failures(out)] == ["UNSUPPORTED_FORMAT"] * 4


def test_parts_together_see_each_image_once(scenes: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for part in ("1/3", "2/3", "3/3"):
        segment(scenes, out, "--part", part)
    inputs = [json.loads(path.read_text())["inputs"] for path in (out / "runs").glob("*.json")]
    assert sorted(inputs) == [1, 1, 3]


def test_the_same_images_by_two_patterns_are_failures_of_one_place(scenes: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    inputs = [f"{scenes}/{PATTERN}", f"{scenes}/T0{PATTERN[1:]}"]
    run_numpy(command(inputs, str(out), "--max_failures", "100%"))
    assert [each["id"] for each in failures(out)] == ["T0", "T0", "T1", "T2", "T3"]
    assert summary(out)["reconciles"]


def test_a_dry_run_prints_three_ids(scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert segment(scenes, tmp_path / "out", "--dry_run") == 0
    said = capsys.readouterr().err
    assert "Ids      T0, T1, T2\n" in said
    assert "Found    4 images of several files and 1 image file" in said
    assert not (tmp_path / "out").exists()
    assert run_numpy(command(f"{tmp_path}/plain", str(tmp_path / "out"), "--dry_run")) == 0
    assert "Ids " not in capsys.readouterr().err


def test_nothing_says_a_name_where_ids_are_hashed(
    scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MASKBEAM_ID_KEY", "a secret of sixteen")
    assert segment(scenes, tmp_path / "out", "--anonymous_ids", "--dry_run") == 0
    segment(scenes, tmp_path / "out", "--anonymous_ids")
    said = capsys.readouterr()
    assert "T0" not in said.err + said.out
    told = "".join(path.read_text(errors="replace") for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert "T0_" not in told
    assert len(failures(tmp_path / "out")) == 4


def test_wrong_braces_are_refused_before_anything_is_written(scenes: Path, tmp_path: Path) -> None:
    for pattern in ("*_{B04,B03", "*_{B04}.png", "*_{B04,}.png", "*_{B0{4,3},B02}.png", "*.{png,tif}"):
        with pytest.raises(RunError, match="braces"):
            segment(scenes, tmp_path / "out", pattern=pattern)
    assert not (tmp_path / "out").exists()
