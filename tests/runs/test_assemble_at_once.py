"""A scene is put together by whoever saves its last block, before all scenes are grouped, and comes to one end."""

import json
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from maskbeam.pipeline.job import job as job_module
from maskbeam.pipeline.output import assemble
from maskbeam.pipeline.output.assemble import AssembleAtOnce, LastBlock
from maskbeam.pipeline.output.blocks import Blocks
from maskbeam.pipeline.tally import tally
from maskbeam.transforms.errors import Code, ImageError, RunError
from maskbeam.transforms.tiling.layout import Tiling
from tests.support.numpy_engine import command, run_numpy
from tests.support.scene_runs import draw_scenes, labels_of, run_scenes
from tests.support.trees import differing, tree_of

real_call = AssembleAtOnce.__call__
real_counted = Blocks.counted
# The scenes that were put together at once; of the module, because what is sent to workers is a copy.
AT_ONCE: list[str] = []


def noted(self: AssembleAtOnce, element: Any) -> Any:
    found = real_call(self, element)
    if isinstance(found, LastBlock):
        assert (Path(self.blocks.tree.root) / f"masks/{found.image_id}.tif").exists()
        AT_ONCE.append(found.image_id)
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three scenes and their output, each made as one block."""
    folder = tmp_path_factory.mktemp("whole")
    draw_scenes(folder / "in", 3)
    assert run_scenes(folder / "in", folder / "whole", "--products", "confidence") == 0
    return folder


@pytest.fixture
def made(whole: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The same, for runs in which each scene has about ten blocks."""
    monkeypatch.setattr(job_module, "Tiling", partial(Tiling, block_pixels=700, sums_bytes=4000))
    monkeypatch.setattr(AssembleAtOnce, "__call__", noted)
    AT_ONCE.clear()
    yield whole
    shutil.rmtree(whole / "out")


def run(folder: Path) -> int:
    return run_scenes(folder / "in", folder / "out", "--products", "confidence")


def is_whole(folder: Path) -> bool:
    return not differing(tree_of(folder / "out"), tree_of(folder / "whole")) and not (folder / "out/.blocks").exists()


def test_each_scene_is_put_together_once_and_counted_once(made: Path) -> None:
    tally.reset()
    assert run(made) == 0
    assert sorted(AT_ONCE) == ["scene-0", "scene-1", "scene-2"]
    assert is_whole(made)
    assert tally.read()[:3] == (3, 0, 0)
    assert tally.read().parts == 0
    assert tally.read().pixels == 3 * 70 * 90


def test_who_dies_before_the_grouping_finds_its_scenes_done(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gather(group: Any) -> Any:
        raise RunError("the machine goes down")

    with monkeypatch.context() as patched:
        patched.setattr(assemble, "_gather", gather)
        assert run(made) == 1
    assert sorted(AT_ONCE) == ["scene-0", "scene-1", "scene-2"]
    assert run(made) == 0
    assert sorted(AT_ONCE) == ["scene-0", "scene-1", "scene-2"]
    assert is_whole(made)


def test_what_cannot_be_put_together_at_once_is_after_the_grouping(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[str] = []

    def counted(blocks: Blocks, block: Any) -> Any:
        tries.append(block.image_id)
        if len(tries) == 1:
            raise ImageError(Code.OUTPUT_BLOCKED, "something lies there for a while")
        return real_counted(blocks, block)

    monkeypatch.setattr(Blocks, "counted", counted)
    assert run(made) == 0
    assert sorted(AT_ONCE) == sorted({"scene-0", "scene-1", "scene-2"} - {tries[0]})
    assert is_whole(made)


def test_a_scene_that_is_named_twice_is_done_and_a_copy(made: Path) -> None:
    patterns = [str(made / "in"), str(made / "in/scene-1.tif")]
    flags = ("--mask_format", "geotiff", "--products", "confidence", "--id_root", str(made / "in"))
    assert run_numpy([*command(patterns[0], str(made / "out"), *flags), "--input", patterns[1]]) == 0
    summary = json.loads((made / "out/reports/summary.json").read_text())
    assert (summary["inputs"], summary["done"], summary["duplicate"], summary["failed"]) == (4, 3, 1, 0)
    for number in range(3):
        with rasterio.open(made / f"out/masks/scene-{number}.tif") as file:
            assert np.array_equal(file.read(1), labels_of(number))
    assert not (made / "out/.blocks").exists()
