"""One scene that is spread over eight workers: the bytes of one worker's, and little that is computed twice."""

import json
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from maskbeam.pipeline import build
from maskbeam.pipeline.job import job as job_module
from maskbeam.transforms.tiling.layout import Tiling
from tests.support.numpy_engine import run_numpy
from tests.support.small_block_scenes import command_of, draw_scenes
from tests.support.trees import differing, tree_of

SIZE = 450, 500
EIGHT = ("--direct_running_mode=multi_processing", "--direct_num_workers=8")
# Two columns of fifteen blocks: eight spans of four blocks, or fewer.
DIVISION = partial(Tiling, block_pixels=250 * 30, sums_bytes=66000)


def told(out: Path) -> dict[str, Any]:
    (path,) = (out / "runs").iterdir()
    return dict(json.loads(path.read_text()))


@pytest.mark.slow
def test_a_scene_spread_over_eight_workers_is_the_same_scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, one, eight = draw_scenes(tmp_path / "in", 1, SIZE), tmp_path / "one", tmp_path / "eight"
    monkeypatch.setattr(job_module, "Tiling", DIVISION)
    assert run_numpy(command_of(inputs, str(one))) == 0
    # As on a cluster, where columns are cut.
    monkeypatch.setattr(build, "runner_of", lambda flags: SimpleNamespace(is_local=False))
    assert run_numpy(command_of(inputs, str(eight), *EIGHT)) == 0
    assert differing(tree_of(one), tree_of(eight)) == []
    layout = DIVISION((16, 16), 0.25, "hann", 3).layout(SIZE)
    empty = told(eight)["windows_without_data"]
    assert empty > 0
    assert 1.02 * layout.windows < told(eight)["windows"] + empty <= 1.15 * layout.windows
