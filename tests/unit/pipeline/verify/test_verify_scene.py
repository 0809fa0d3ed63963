import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from maskbeam.pipeline.output.claim import TEXT_KEY
from maskbeam.pipeline.verify.verify import verify
from maskbeam.transforms.codecs.encode import encode_jpeg, read_text
from tests.support.scene_runs import draw_scenes, labels_of, run_scenes

PRODUCTS = "all"
MASK = "masks/scene-1.tif"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    draw_scenes(folder / "in")
    assert run_scenes(folder / "in", folder / "out", "--products", PRODUCTS) == 0
    return folder / "out"


@pytest.fixture
def out(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "out"))


def found(out: Path, capsys: pytest.CaptureFixture[str], word: str = "DIFFERENT") -> list[str]:
    code = verify(str(out))
    lines = capsys.readouterr().out.splitlines()
    assert code == any(line.startswith("DIFFERENT") for line in lines)
    return [line for line in lines if line.startswith(word)]


def altered(path: Path, **said: Any) -> None:
    """Writes a file again: the same pixels and tags, but for what is said."""
    with rasterio.Env(GDAL_PAM_ENABLED="NO"):
        with rasterio.open(path) as file:
            pixels, tags = file.read(), file.tags()
            profile = file.profile | {"driver": "COG", "compress": "deflate"}
        pixels = said.pop("pixels", lambda as_is: as_is)(pixels)
        kept = {name: profile[name] for name in ("driver", "dtype", "count", "width", "height", "compress")}
        places = {name: said.get(name, profile[name]) for name in ("crs", "transform", "nodata")}
        path.unlink()
        with rasterio.open(path, "w", **kept, **places) as file:
            file.write(pixels)
            file.update_tags(**{name: value for name, value in tags.items() if name == "maskbeam"})


def one_pixel(pixels: Any) -> Any:
    changed = pixels.copy()
    changed[0, 40, 40] = (changed[0, 40, 40] + 1) % 3
    return changed


def test_masks_are_what_the_test_takes_them_for(made: Path) -> None:
    for number in (0, 1):
        with rasterio.open(made / f"masks/scene-{number}.tif") as file:
            np.testing.assert_array_equal(file.read(1), labels_of(number))


def test_an_untouched_output_has_no_difference_and_no_orphan(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert not found(out, capsys)
    assert not found(out, capsys, "ORPHAN")


def test_writing_a_mask_again_as_it_is_makes_no_difference(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    altered(out / MASK)
    assert not found(out, capsys)


def test_a_changed_pixel_is_found(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    altered(out / MASK, pixels=one_pixel)
    lines = found(out, capsys)
    assert any(f"{MASK} carries a record that its pixels contradict" in line for line in lines)
    assert any("color/scene-1.tif differs from its mask" in line for line in lines)
    assert any("reports/classes.csv differs" in line for line in lines)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("transform", {"transform": rasterio.Affine(10, 0, 500010, 0, -10, 5600000)}),
        ("coordinate system", {"crs": "EPSG:32634"}),
        ("coordinate system", {"crs": None}),
    ],
)
def test_an_altered_grid_is_found(out: Path, capsys: pytest.CaptureFixture[str], what: str, said: Any) -> None:
    altered(out / MASK, **said)
    assert any(f"{MASK} has another {what} than its image's record says" in line for line in found(out, capsys))


def test_the_grid_of_a_product_is_held_against_the_record(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = out / "binary/class_0/scene-0.tif"
    data, (here, there) = path.read_bytes(), (struct.pack("<d", top) for top in (5600000, 5600010))
    assert data.count(here) == 1
    path.write_bytes(data.replace(here, there))
    assert any("binary/class_0/scene-0.tif has another transform" in line for line in found(out, capsys))


@pytest.mark.parametrize(
    "name",
    [
        MASK,
        "color/scene-1.tif",
        "confidence/scene-1.tif",
        "binary/class_1/scene-1.tif",
        f"{MASK}.aux.xml",
    ],
)
def test_one_flipped_bit_is_found(out: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    data = bytearray((out / name).read_bytes())
    data[-20] ^= 1
    (out / name).write_bytes(data)
    assert any(f"{name} " in line for line in found(out, capsys))


def test_a_file_that_was_cut_off_is_found(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = out / "masks/scene-0.tif"
    path.write_bytes(path.read_bytes()[:-40])
    assert any("masks/scene-0.tif is damaged" in line for line in found(out, capsys))


def test_an_overlay_of_another_size_or_image_is_found(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = out / "overlay/scene-1.jpg"
    data = path.read_bytes()
    text = read_text(data)
    smaller = encode_jpeg(np.zeros((60, 90, 3), np.uint8), text=text)
    # Behind its end, so that it has the bytes that the record says.
    path.write_bytes(smaller + bytes(len(data) - len(smaller)))
    assert any("overlay/scene-1.jpg " in line for line in found(out, capsys))
    path.write_bytes(data[:-40])
    assert any("overlay/scene-1.jpg has" in line for line in found(out, capsys))
    path.write_bytes(
        data.replace(text[TEXT_KEY].encode(), text[TEXT_KEY].replace("fingerprint", "fingerprinT").encode())
    )
    assert any("overlay/scene-1.jpg belongs to another image" in line for line in found(out, capsys))


def test_names_of_classes_that_are_gone_are_found(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (out / f"{MASK}.aux.xml").unlink()
    assert any(f"{MASK}.aux.xml is missing" in line for line in found(out, capsys))


def test_a_file_of_another_image_is_found(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(out / "color/scene-0.tif", out / "color/scene-1.tif")
    assert any("color/scene-1.tif" in line for line in found(out, capsys))


def test_files_that_no_row_claims_are_orphans(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("masks/scene-0.tif", "masks/scene-0.tif.aux.xml", "color/scene-0.tif"):
        shutil.copy(out / name, out / name.replace("scene-0", "scene-7"))
    assert len(found(out, capsys, "ORPHAN")) == 3


def test_a_block_that_was_left_over_is_found(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    block = out / ".blocks" / ("0" * 32) / "0-0-70x90.png"
    block.parent.mkdir(parents=True)
    block.write_bytes(b"of nobody")
    assert any(f"{block.relative_to(out)} was left over" in line for line in found(out, capsys))


def test_classes_that_overlap_are_verified_by_their_binary_masks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draw_scenes(tmp_path / "in")
    out = tmp_path / "out"
    assert run_scenes(tmp_path / "in", out, "--head", "multilabel", "--products", "binary,confidence") == 0
    assert not found(out, capsys)
    altered(out / "binary/class_1/scene-0.tif", pixels=np.invert)
    assert any("binary/class_1/scene-0.tif" in line for line in found(out, capsys))


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("said", [{"crs": None}, {"crs": None, "transform": None}])
def test_scenes_without_a_coordinate_system_are_verified_as_well(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], said: Any
) -> None:
    draw_scenes(tmp_path / "in", 1, **said)
    assert run_scenes(tmp_path / "in", tmp_path / "out") == 0
    assert not found(tmp_path / "out", capsys)


def test_areas_that_a_report_tells_otherwise_are_found(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = out / "reports/images.csv"
    (_, *lines) = report.read_text().splitlines()
    assert all(line.split(",")[-5:-3] == ["EPSG:32633", "planar"] for line in lines)
    told = float(lines[0].split(",")[-1])
    assert told == (labels_of(0) == 2).sum() * 100 / 1e6
    report.write_text(report.read_text().replace(lines[0], lines[0].rpartition(",")[0] + ",7"))
    assert any("images.csv says something else of scene-0" in line for line in found(out, capsys))


def test_a_footprint_that_was_moved_is_found(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = out / "reports/scenes.geojson"
    report.write_text(report.read_text().replace("[[[15.", "[[[16.", 1))
    assert found(out, capsys) == ["DIFFERENT reports/scenes.geojson differs from what the masks say of their images"]
