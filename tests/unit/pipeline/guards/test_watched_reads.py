"""A read of a raster that hangs is noted and ends the process; one that waits for its turn does not."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskbeam.pipeline.exit_codes import ExitCode
from maskbeam.pipeline.guards import watched_reads
from maskbeam.pipeline.guards.watched_reads import FAR_SECONDS, WatchedReads
from maskbeam.pipeline.inputs.readers import handles
from maskbeam.pipeline.inputs.readers.handles import Handles, RasterFile
from maskbeam.pipeline.output.tree import Tree
from maskbeam.pipeline.process.patience import DECODE_SECONDS
from maskbeam.pipeline.process.watchdog import Watchdog
from maskbeam.transforms.elements import Array, Origin, Region, Source
from tests.support.numpy_engine import command, run_numpy
from tests.support.rasters import planes, write_raster
from tests.support.stuck_reader import CRASHES, STICKS
from tests.support.trees import differing, tree_of

REGION = Region(0, 0, 8, 8)


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a watchdog, whose clock the test moves, would have ended the process for."""
    return []


@pytest.fixture
def dog(monkeypatch: pytest.MonkeyPatch, ended: list[str]) -> Watchdog:
    made = Watchdog(ended.append)
    made._started = True
    monkeypatch.setattr(watched_reads, "watchdog", lambda: made)
    return made


def pass_time(dog: Watchdog, seconds: float) -> None:
    for _ in range(int(seconds / 2)):
        dog.advance(2)


def watched(tmp_path: Path, where: str) -> Any:
    tree = Tree(str(tmp_path / "out"), str(tmp_path / "out/.tmp/r"), "masks/{}.tif", "f", "i")
    origin = Origin("patient-7", Source(where, "1"))
    return lambda: WatchedReads(tree)(origin)


def notes(tmp_path: Path) -> list[str]:
    return [json.loads(path.read_text())["code"] for path in (tmp_path / "out/failed").glob("*")]


def test_a_read_that_hangs_is_noted_and_ends_the_process(
    dog: Watchdog, ended: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_raster(tmp_path / "a.tif", planes(1))
    read, seconds = handles._read, [0.0]

    def slow(handle: Any, indexes: Sequence[int], region: Region, size: Any = None) -> Array:
        pass_time(dog, seconds[0])
        return read(handle, indexes, region, size)

    monkeypatch.setattr(handles, "_read", slow)
    file = Handles(RasterFile(str(path)), watched(tmp_path, str(path)))
    seconds[0] = DECODE_SECONDS - 4
    for _ in range(3):
        file.read((1,), REGION)
    assert (ended, notes(tmp_path)) == ([], [])
    seconds[0] = 1.2 * DECODE_SECONDS
    file.read((1,), REGION)
    assert notes(tmp_path) == ["HANG"]
    assert "the reader hangs on an image" in ended[0]
    assert "patient" not in "".join(ended)
    file.close()


def test_threads_that_wait_for_their_turn_are_not_watched(dog: Watchdog, ended: list[str], tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", planes(1))
    file = Handles(RasterFile(str(path)), watched(tmp_path, str(path)))
    begun, found = threading.Event(), []

    def wait() -> None:
        begun.set()
        found.append(file.read((1,), REGION))

    with file.taken():
        thread = threading.Thread(target=wait)
        thread.start()
        assert begun.wait(60)
        assert len(dog._tasks) == 1, "that of the thread that has the handle"
    thread.join(60)
    assert len(found) == 1
    assert not dog._tasks
    file.close()


def test_what_waits_for_a_network_has_longer(dog: Watchdog, ended: list[str], tmp_path: Path) -> None:
    with watched(tmp_path, "gs://b/a.tif")():
        pass_time(dog, FAR_SECONDS - 4)
        assert ended == []
        pass_time(dog, 0.2 * FAR_SECONDS + 8)
    assert notes(tmp_path) == ["HANG"]


RUN = "import sys; from tests.support.stuck_reader import run_hurried; sys.exit(run_hurried(sys.argv[1:]))"


def run_stuck(inputs: Path, out: Path) -> "subprocess.CompletedProcess[str]":
    argv = [sys.executable, "-c", RUN, *command(str(inputs), str(out), "--max_failures", "1")]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=200)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "code", "noted"), [(STICKS, int(ExitCode.FAILED), "HANG"), (CRASHES, -signal.SIGSEGV, "CRASH")]
)
def test_the_same_command_goes_on_without_the_scene(tmp_path: Path, name: str, code: int, noted: str) -> None:
    inputs, out = tmp_path / "in", tmp_path / "out"
    inputs.mkdir()
    for each in ("a", name, "z"):
        write_raster(inputs / f"{each}.tif", planes(3))
    died = run_stuck(inputs, out)
    assert died.returncode == code, died.stderr
    assert [json.loads(path.read_text())["code"] for path in (out / "failed").iterdir()] == [noted]
    done = run_stuck(inputs, out)
    assert done.returncode == 0, done.stderr
    (failure,) = map(json.loads, (out / "reports/failures.jsonl").read_text().splitlines())
    assert (failure["id"], failure["code"]) == (name, noted)
    (inputs / f"{name}.tif").unlink()
    assert run_numpy(command(str(inputs), str(tmp_path / "without"))) == 0
    assert differing(tree_of(tmp_path / "without/masks"), tree_of(out / "masks")) == []
    assert np.array_equal(sorted(path.stem for path in (out / "masks").glob("*.tif")), ["a", "z"])
