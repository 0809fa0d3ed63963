"""Scenes of many blocks on a Flink cluster of two TaskManagers: the same tree, whatever dies within a scene."""

import random
from pathlib import Path

import pytest

from maskbeam.pipeline.verify.verify import verify
from tests.cluster.flink import Cluster, Run, last_run, wait_until
from tests.support.numpy_engine import MODEL
from tests.support.small_block_scenes import FLAGS, draw_scenes
from tests.support.trees import differing, tree_of

COMMAND = "tests.support.small_block_scenes"
BLOCKS = 2 * 81


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_scenes(tmp_path_factory.mktemp("in"), 2, (200, 260))


@pytest.fixture(scope="module")
def local(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the local runner makes of them."""
    output = tmp_path_factory.mktemp("local") / "out"
    start(inputs, output).must_succeed()
    return output


def start(inputs: Path, output: Path, *flags: str) -> Run:
    return Run.start(["--input", str(inputs), "--model", MODEL, *FLAGS, *flags], output, module=COMMAND)


def blocks(output: Path) -> int:
    return sum(1 for _ in (output / ".blocks").rglob("*.png"))


def assert_same(local: Path, output: Path) -> None:
    """The trees are the same: masks, products and reports, and no block is left."""
    assert differing(tree_of(local), tree_of(output)) == []
    assert not (output / ".blocks").exists()
    assert verify(str(output)) == 0


def test_scenes_that_are_spread_over_workers_are_the_local_runner_s(
    cluster: Cluster, inputs: Path, local: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    start(inputs, output, *cluster.flags).must_succeed()
    assert_same(local, output)
    # Spans of four blocks compute what lies along their ends twice.
    assert last_run(output)["windows"] > last_run(local)["windows"]
    start(inputs, output, *cluster.flags).must_succeed()
    assert_same(local, output)
    assert (last_run(output)["skipped"], last_run(output)["windows"]) == (2, 0)


@pytest.mark.parametrize(
    ("victim", "seed"), [("taskmanager-1", 1), pytest.param("workers-2", 2, marks=pytest.mark.slow)]
)
def test_a_part_that_is_killed_within_scenes_changes_nothing(
    cluster: Cluster, inputs: Path, local: Path, tmp_path: Path, victim: str, seed: int
) -> None:
    output = tmp_path / "out"
    run = start(inputs, output, *cluster.flags)
    enough = random.Random(seed).randrange(1, BLOCKS // 4)
    wait_until(lambda: run.process.poll() is not None or blocks(output) >= enough)
    assert run.process.poll() is None, "the run was over before anything was killed"
    assert len(list((output / "masks").glob("*.tif"))) < 2
    cluster.kill(victim)
    cluster.up()
    run.must_succeed()
    assert_same(local, output)
