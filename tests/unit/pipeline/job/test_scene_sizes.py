"""What a dry run tells of scenes, held against sizes that are counted by hand."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from maskbeam.pipeline import run as run_module
from maskbeam.pipeline.job import job as job_module
from maskbeam.transforms.tiling.layout import Tiling
from tests.runs.test_area import RING, inside, segment, write_area
from tests.support.rasters import planes, write_raster

SIZE = (61, 83)


@pytest.fixture
def inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(job_module, "Tiling", partial(Tiling, block_pixels=700, sums_bytes=4000))
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def told(inputs: Path, out: Path, capsys: pytest.CaptureFixture[str], *flags: str) -> dict[str, str]:
    assert segment(inputs, out, "--dry_run", *flags) == 0
    assert not out.exists()
    lines = capsys.readouterr().err.splitlines()
    return {line[:9].strip(): line[9:] for line in lines}


def starts(size: int) -> list[int]:
    """Where windows of 16 begin, 12 apart."""
    return sorted({min(first, size - 16) for first in range(0, size, 12)})


WINDOWS = [(top, left) for top in starts(61) for left in starts(83)]


def test_a_dry_run_tells_the_scenes_their_windows_and_the_disk(
    inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = [write_raster(inputs / f"{name}.tif", planes(3, *SIZE)).stat().st_size for name in "ab"]
    said = told(inputs, tmp_path / "out", capsys, "--products", "color")
    blocks = 2 * len(Tiling((16, 16), block_pixels=700, sums_bytes=4000, channels=3).layout(SIZE).blocks)
    assert said["Scenes"] == (
        f"2 scenes, 0.0 megapixels in {blocks} blocks and {2 * len(WINDOWS)} windows; "
        f"{sum(sizes) / 1e6:,.1f} MB to read"
    )
    assert said["Disk"].startswith(f"at most {2 * 2 * 61 * 83 / 1e6:,.1f} MB of output")
    assert "4.2 MB of temporary files in $TMPDIR" in said["Disk"]
    assert "Size" not in said


def test_windows_in_the_area_are_told_apart(inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_raster(inputs / "a.tif", planes(3, *SIZE))
    area = write_area(tmp_path / "field.geojson", RING)
    mask = inside()
    within = sum(bool(mask[top : top + 16, left : left + 16].any()) for top, left in WINDOWS)
    assert 0 < within < len(WINDOWS)
    said = told(inputs, tmp_path / "out", capsys, "--aoi", str(area))
    assert f"{len(WINDOWS)} windows, {within} of them in --aoi" in said["Scenes"]


def test_many_scenes_are_told_by_a_sample_and_those_that_fail_are(
    inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(20):
        write_raster(inputs / f"{number:02}.tif", planes(3, *SIZE))
    said = told(inputs, tmp_path / "out", capsys)
    assert said["Scenes"].startswith("about 20 scenes")
    assert f"{20 * len(WINDOWS):,} windows" in said["Scenes"]
    assert said["Scenes"].endswith("(sampled 8 scenes)")
    assert told(inputs, tmp_path / "out", capsys, "--limit", "3")["Scenes"].startswith("3 scenes")
    (inputs / "00.tif").write_bytes(b"II*\0" + bytes(99))
    for path in list(inputs.glob("*.tif"))[4:]:
        if path.stem != "00":
            path.unlink()
    scenes = told(inputs, tmp_path / "out", capsys, "--mask_format", "geotiff")["Scenes"]
    assert "1 sampled scene failed, such as UNREADABLE" in scenes
    for path in inputs.glob("*.tif"):
        path.write_bytes(np.zeros(9, np.uint8).tobytes())
    assert "not known" in told(inputs, tmp_path / "out", capsys, "--mask_format", "geotiff")["Scenes"]


def test_a_mosaic_of_a_hundred_thousand_a_side_is_told_from_its_header(
    inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import rasterio

    monkeypatch.undo()
    profile = {
        "driver": "GTiff",
        "count": 3,
        "height": 100_000,
        "width": 100_000,
        "dtype": "uint8",
        "crs": "EPSG:32633",
    }
    sparse = {"tiled": True, "blockxsize": 512, "blockysize": 512, "SPARSE_OK": True, "BIGTIFF": "YES"}
    transform = rasterio.transform.Affine(0.1, 0, 500000, 0, -0.1, 5600000)
    with rasterio.open(inputs / "mosaic.tif", "w", transform=transform, **profile, **sparse):
        pass
    monkeypatch.setattr(job_module, "Tiling", lambda _, *more: Tiling(*((512, 512), *more)))
    # The engine takes windows of another size.
    monkeypatch.setattr(run_module, "window_rate", lambda *_: None)
    said = told(inputs, tmp_path / "out", capsys)
    side = len(range(0, 100_000 - 512, 384)) + 1
    assert "1 scene, 10,000.0 megapixels in " in said["Scenes"]
    assert f"{side**2:,} windows" in said["Scenes"]
    assert said["Disk"].startswith(
        "at most 10,000.0 MB of output, before it is compressed, and 27,504.2 MB of temporary"
    )
