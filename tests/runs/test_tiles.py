"""Images in windows and blocks, from the command to the masks, with a model that looks at single pixels."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PilImage

from maskbeam.pipeline.job import job as job_module
from maskbeam.pipeline.output.blocks import Blocks, SavedBlock, SavedImage, folder_of_blocks
from maskbeam.transforms.elements import Array, Labels
from maskbeam.transforms.errors import RunError
from maskbeam.transforms.tiling.layout import Tiling
from tests.support.numpy_engine import RAISES, command, run_numpy
from tests.support.pictures import scene
from tests.support.trees import tree_of

SIZES = {"one": (1, 1), "thin": (3, 70), "small": (10, 12), "block": (16, 40), "large": (61, 90), "tall": (120, 33)}
FLAGS = ("--resize", "tile", "--products", "overlay,confidence,color")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of about 700 pixels, in columns of at least 4 strides: the large ones have twelve."""
    monkeypatch.setattr(job_module, "Tiling", partial(Tiling, block_pixels=700, sums_bytes=4000))


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for seed, (name, size) in enumerate(SIZES.items()):
        PilImage.fromarray(scene(*size, seed=seed)).save(folder / f"{name}.png")
    return folder


def read(path: Path) -> Array:
    with PilImage.open(path) as opened:
        return np.asarray(opened)


def mask(out: Path, name: str) -> Array:
    return read(out / "masks" / f"{name}.png")


@pytest.mark.parametrize("blend", ["hann", "gaussian", "constant", "nearest"])
def test_masks_have_the_size_and_the_labels_of_their_images(inputs: Path, tmp_path: Path, blend: str) -> None:
    out = tmp_path / "out"
    assert run_numpy(command(str(inputs), str(out), *FLAGS, "--tile_blend", blend)) == 0
    for seed, (name, size) in enumerate(SIZES.items()):
        assert np.array_equal(mask(out, name), scene(*size, seed=seed).argmax(axis=-1))
        for product in ("confidence", "color"):
            assert read(out / product / f"{name}.png").shape[:2] == size
        assert read(out / "overlay" / f"{name}.jpg").shape[:2] == size
    assert not (out / ".blocks").exists()


def test_the_division_into_blocks_changes_no_byte(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_numpy(command(str(inputs), str(tmp_path / "cut"), *FLAGS))
    monkeypatch.setattr(job_module, "Tiling", Tiling)
    run_numpy(command(str(inputs), str(tmp_path / "whole"), *FLAGS))
    folders = ("masks", "overlay", "confidence", "color")
    one, other = (
        {name: data for name, data in tree_of(tmp_path / out).items() if name.startswith(folders)}
        for out in ("cut", "whole")
    )
    assert len(one) == 4 * len(SIZES)
    assert one == other


real_together = Blocks.together


def dies_together(blocks: Blocks, image: SavedImage) -> Any:
    """Puts an image together, but dies over one of many blocks: small ones may come first, or after it."""
    if len(image.blocks) > 4:
        raise RunError("the machine goes down")
    return real_together(blocks, image)


def run_that_dies(inputs: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """A run that dies when all blocks of an image are saved, and none is put together; the blocks, by name."""

    with monkeypatch.context() as patched:
        patched.setattr(Blocks, "together", dies_together)
        assert run_numpy(command(str(inputs), str(out), *FLAGS)) == 1
    return sorted((out / ".blocks").rglob("*.png"))


# The blocks that were saved, by place, row and column; of the module, because what is sent to workers is a copy.
MADE: list[str] = []
real_save = Blocks._save


def noted_save(blocks: Blocks, block: Labels) -> SavedBlock:
    MADE.append(f"{folder_of_blocks(block.image_id, block.source.place)}/{block.region.top}-{block.region.left}")
    return real_save(blocks, block)


@pytest.mark.parametrize("kept", [1, 3, 100])
def test_a_run_that_dies_within_an_image_goes_on_from_its_blocks(
    inputs: Path, tmp_path: Path, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    run_numpy(command(str(inputs), str(whole), *FLAGS))
    blocks = run_that_dies(inputs, out, monkeypatch)
    assert len(blocks) > 4
    for path in blocks[kept:]:
        path.unlink()
    MADE.clear()
    monkeypatch.setattr(Blocks, "_save", noted_save)
    assert run_numpy(command(str(inputs), str(out), *FLAGS)) == 0
    again = [path for path in blocks[:kept] if any(str(path).startswith(f"{out}/.blocks/{made}-") for made in MADE)]
    # Of an image all of whose blocks are there the last one is made again: who does it puts them together.
    complete = {path.parent for path in blocks[:kept]} - {path.parent for path in blocks[kept:]}
    assert len(again) <= len(complete)
    assert MADE
    assert not (out / ".blocks").exists()
    one, other = (
        {
            name: data
            for name, data in tree_of(folder).items()
            if not name.startswith(("runs", ".job", "_S", "reports"))
        }
        for folder in (whole, out)
    )
    assert one == other


def test_a_window_that_the_model_fails_on_fails_its_image_alone(inputs: Path, tmp_path: Path) -> None:
    picture, out = scene(*SIZES["large"], seed=4), tmp_path / "out"
    picture[24, 36] = RAISES
    PilImage.fromarray(picture).save(inputs / "large.png")
    assert run_numpy(command(str(inputs), str(out), *FLAGS)) == 3
    (failure,) = (out / "reports" / "failures.jsonl").read_text().splitlines()
    assert "in its window at row 24, column 36: the model raised ValueError" in failure
    assert len(list((out / "masks").iterdir())) == len(SIZES) - 1
    assert not list((out / ".blocks").rglob("*.png"))


def test_classes_that_are_independent_have_planes(inputs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run_numpy(command(str(inputs), str(out), "--resize", "tile", "--head", "multilabel_logits")) == 0
    for seed, (name, size) in enumerate(SIZES.items()):
        for channel in range(3):
            held = read(out / "binary" / f"class_{channel}" / f"{name}.png") > 0
            assert np.array_equal(held, scene(*size, seed=seed)[..., channel] > 0)


def test_views_of_a_model_of_single_pixels_agree(inputs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run_numpy(command(str(inputs), str(out), "--resize", "tile", "--tta", "d4")) == 0
    for seed, (name, size) in enumerate(SIZES.items()):
        assert np.array_equal(mask(out, name), scene(*size, seed=seed).argmax(axis=-1))


def refused() -> Iterator[tuple[tuple[str, ...], str]]:
    yield ("--tile_overlap", "0.5"), "--tile_overlap is for windows"
    yield ("--tile_blend", "nearest"), "--tile_blend is for windows"
    yield ("--tile_size", "64"), "--tile_size is for windows"
    yield ("--resize", "tile", "--upsample", "labels"), "--upsample labels cannot go with --resize tile"
    yield ("--resize", "tile", "--upsample", "none"), "--upsample none cannot go with --resize tile"
    yield ("--resize", "tile", "--fast_decode"), "--resize tile keeps the image's own"


@pytest.mark.parametrize(("flags", "reason"), list(refused()))
def test_flags_that_windows_cannot_heed_are_refused(
    inputs: Path, tmp_path: Path, flags: tuple[str, ...], reason: str
) -> None:
    with pytest.raises(RunError, match=reason):
        run_numpy(command(str(inputs), str(tmp_path / "out"), *flags))


def test_another_overlap_is_another_work(inputs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run_numpy(command(str(inputs), str(out), "--resize", "tile")) == 0
    with pytest.raises(RunError, match="--tile_overlap"):
        run_numpy(command(str(inputs), str(out), "--resize", "tile", "--tile_overlap", "0.5"))
