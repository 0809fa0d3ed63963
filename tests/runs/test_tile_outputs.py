"""All that a user does with an output, done with one whose images came in windows and blocks."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PilImage

from maskbeam.pipeline.inputs.containers.example import make_example
from maskbeam.pipeline.verify.verify import verify
from maskbeam.transforms.elements import Array
from maskbeam.transforms.errors import RunError
from tests.runs.test_tiles import mask, read, small_blocks
from tests.support.fake_gcs import FakeGcs
from tests.support.fake_gcs_service import Stored
from tests.support.numpy_engine import NAN, command, run_numpy
from tests.support.pictures import as_file, scene
from tests.support.shard_files import write_shard
from tests.support.trees import tree_of

__all__ = ["small_blocks"]

LARGE, SMALL, TALL = (61, 90), (21, 30), (120, 33)
SIZES = (LARGE, SMALL, TALL)
TILE = ("--resize", "tile")


def scenes() -> list[Array]:
    return [scene(*size, seed=seed) for seed, size in enumerate(SIZES)]


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for number, picture in enumerate(scenes()):
        PilImage.fromarray(picture).save(folder / f"{number}.png")
    return folder


def labelled(out: Path) -> bool:
    return all(
        np.array_equal(mask(out, str(number)), picture.argmax(axis=-1)) for number, picture in enumerate(scenes())
    )


def images_of(out: Path) -> dict[str, bytes]:
    return {n: d for n, d in tree_of(out).items() if n.startswith(("masks", "overlay", "color", "confidence"))}


def test_a_rerun_does_nothing_again_and_products_come_later(inputs: Path, tmp_path: Path) -> None:
    out, at_once = tmp_path / "out", tmp_path / "at_once"
    assert run_numpy(command(str(inputs), str(out), *TILE)) == 0
    times = {path: path.stat().st_mtime_ns for path in (out / "masks").iterdir()}
    assert run_numpy(command(str(inputs), str(out), *TILE)) == 0
    assert times == {path: path.stat().st_mtime_ns for path in (out / "masks").iterdir()}
    products = ("--products", "overlay,color")
    assert run_numpy(command(str(inputs), str(out), *TILE, *products)) == 0
    assert run_numpy(command(str(inputs), str(at_once), *TILE, *products)) == 0
    assert images_of(out) == images_of(at_once)
    assert verify(str(out)) == 0
    # Confidence cannot be drawn from masks: all is computed again.
    for folder in (out, at_once):
        assert run_numpy(command(str(inputs), str(folder), *TILE, "--products", "all")) == 0
    assert verify(str(out)) == 0
    assert labelled(out)


def test_other_windows_are_refused_and_made_with_overwrite(inputs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run_numpy(command(str(inputs), str(out), *TILE)) == 0
    with pytest.raises(RunError, match="--tile_blend"):
        run_numpy(command(str(inputs), str(out), *TILE, "--tile_blend", "nearest"))
    assert run_numpy(command(str(inputs), str(out), *TILE, "--tile_blend", "nearest", "--overwrite")) == 0
    assert labelled(out)
    assert verify(str(out)) == 0


def test_a_sample_first_and_then_all(inputs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run_numpy(command(str(inputs), str(out), *TILE, "--limit", "1")) == 0
    assert len(list((out / "masks").iterdir())) == 1
    assert run_numpy(command(str(inputs), str(out), *TILE)) == 0
    assert labelled(out)


def test_records_of_a_shard(tmp_path: Path) -> None:
    out = tmp_path / "out"
    records = [
        make_example({"image/encoded": as_file(picture, "PNG"), "image/filename": f"{number}.png"})
        for number, picture in enumerate(scenes())
    ]
    shard = write_shard(tmp_path / "in" / "a.tfrecord", records)
    assert run_numpy(command(str(shard), str(out), *TILE)) == 0
    (folder,) = {path.parent for path in (out / "masks").rglob("*.png")}
    for number, picture in enumerate(scenes()):
        assert np.array_equal(read(folder / f"{number}.png"), picture.argmax(axis=-1))


def test_names_that_are_hidden(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASKBEAM_ID_KEY", "a secret of sixteen bytes and more")
    out = tmp_path / "out"
    assert run_numpy(command(str(inputs), str(out), *TILE, "--anonymous_ids")) == 0
    found = sorted(read(path).shape for path in (out / "masks").iterdir())
    assert found == sorted(SIZES)
    assert not (out / ".blocks").exists()
    assert verify(str(out)) == 0


@pytest.mark.parametrize("orientation", ["stored", "upright"])
def test_turned_photos(tmp_path: Path, orientation: str) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    exif = PilImage.Exif()
    exif[0x112] = 6
    PilImage.fromarray(scene(*LARGE)).save(folder / "a.png", exif=exif)
    flags = ("--orientation", orientation, "--products", "overlay")
    assert run_numpy(command(str(folder), str(out), *TILE, *flags)) == 0
    stored = scene(*LARGE).argmax(axis=-1)
    # 6: the stored top is the right-hand side of what is seen.
    assert np.array_equal(mask(out, "a"), np.rot90(stored, -1) if orientation == "upright" else stored)
    assert read(out / "overlay" / "a.jpg").shape[:2] == mask(out, "a").shape


def test_grey_pictures_of_16_bits(tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    PilImage.fromarray(scene(*LARGE)[..., 0].astype(np.uint16) * 100).save(folder / "a.png")
    PilImage.fromarray(scene(*LARGE)[..., 0]).save(folder / "b.png")
    flags = ("--input_range", "0,25500", "--products", "overlay,confidence")
    assert run_numpy(command(str(folder), str(out), *TILE, *flags)) == 0
    # Of three equal channels the first one wins.
    assert not mask(out, "a").any()
    assert read(out / "confidence" / "a.png").shape == LARGE


def test_a_pixel_of_which_the_model_is_not_sure_is_ignored(inputs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run_numpy(command(str(inputs), str(out), *TILE, "--min_confidence", "0.9")) == 0
    for number, picture in enumerate(scenes()):
        values = np.exp(picture.astype(np.float64) - picture.max(axis=-1, keepdims=True))
        sure = 1 / values.sum(axis=-1)
        clear = abs(sure - 0.9) > 1e-4
        assert np.array_equal((mask(out, str(number)) == 255)[clear], (sure < 0.9)[clear])


def test_pixels_with_nan_are_ignored_where_that_is_asked_for(inputs: Path, tmp_path: Path) -> None:
    picture, out = scenes()[0], tmp_path / "out"
    # A window begins there; its second pixel, down and to the right, is a NaN.
    picture[12, 12] = NAN
    PilImage.fromarray(picture).save(inputs / "0.png")
    assert run_numpy(command(str(inputs), str(out), *TILE, "--nonfinite", "ignore")) == 0
    assert [tuple(map(int, at)) for at in np.argwhere(mask(out, "0") == 255)] == [(13, 13)]
    failing = tmp_path / "failing"
    assert run_numpy(command(str(inputs), str(failing), *TILE)) == 3
    assert "row 13, column 13" in (failing / "reports" / "failures.jsonl").read_text()
    assert not list((failing / ".blocks").rglob("*.png"))


def test_an_output_far_away(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tmp_path / "here"
    products = ("--products", "overlay,confidence,color")
    assert run_numpy(command(str(inputs), str(here), *TILE, *products)) == 0
    with FakeGcs() as fake:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", fake.url)
        fake.service.buckets["b"] = {
            f"in/{path.name}": Stored(path.read_bytes(), 1, {}, "image/png") for path in inputs.iterdir()
        }
        assert run_numpy(command("gs://b/in/*.png", "gs://b/out", *TILE, *products)) == 0
        held = {name: stored.data for name, stored in fake.service.buckets["b"].items()}
    assert not [name for name in held if ".blocks" in name]
    for name in images_of(here):
        with PilImage.open(io.BytesIO(held[f"out/{name}"])) as opened:
            assert np.array_equal(np.asarray(opened), read(here / name))
