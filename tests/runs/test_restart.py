"""Whole runs that stop, are run again, meet other input, other options or each other."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskbeam.pipeline.output import write
from maskbeam.pipeline.process.identity import identity
from maskbeam.pipeline.verify.verify import verify
from maskbeam.transforms.elements import Array
from maskbeam.transforms.errors import RunError
from maskbeam.transforms.predict import Scores
from tests.support import numpy_engine
from tests.support.numpy_engine import command, run_numpy
from tests.support.trees import differing, draw, draw_folder, pixels, save, tree_of


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the batches that the engine was called with."""
    sizes: list[int] = []
    engine = numpy_engine.NumpyEngine.__call__

    def counted(self: numpy_engine.NumpyEngine, planes: Array) -> Scores:
        sizes.append(len(planes))
        return engine(self, planes)

    monkeypatch.setattr(numpy_engine.NumpyEngine, "__call__", counted)
    return sizes


def images(tmp_path: Path, count: int = 5) -> str:
    return str(draw_folder(tmp_path / "in", count))


def run(inputs: str | list[str], out: Path, *flags: str) -> int:
    return run_numpy(command(inputs, str(out), *flags))


def last_run(out: Path) -> dict[str, Any]:
    newest = max((out / "runs").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    return dict(json.loads(newest.read_text()))


def test_a_second_run_does_nothing_and_changes_nothing(tmp_path: Path, calls: list[int]) -> None:
    out, inputs = tmp_path / "out", images(tmp_path)
    assert run(inputs, out, "--products", "all") == 0
    before, written = tree_of(out), len(calls)
    assert run(inputs, out, "--products", "all") == 0
    assert differing(before, tree_of(out)) == []
    assert (len(calls), last_run(out)["skipped"]) == (written, 5)


def test_new_input_beside_old_is_all_that_is_done(tmp_path: Path, calls: list[int]) -> None:
    out = tmp_path / "out"
    assert run(images(tmp_path), out) == 0
    mask = (out / "masks/img0001.png").stat()
    draw(tmp_path / "in/new.png", "new")
    calls.clear()
    assert run(str(tmp_path / "in"), out) == 0
    assert calls == [1]
    assert (out / "masks/img0001.png").stat().st_mtime_ns == mask.st_mtime_ns
    assert run(str(tmp_path / "in"), tmp_path / "at_once") == 0
    assert differing(tree_of(tmp_path / "at_once"), tree_of(out)) == []


def test_the_report_covers_this_command_s_inputs_only(tmp_path: Path) -> None:
    draw(tmp_path / "a/one.png", 1)
    draw(tmp_path / "b/two.png", 2)
    assert run(str(tmp_path / "a"), tmp_path / "out") == 0
    assert run(str(tmp_path / "b"), tmp_path / "out") == 0
    rows = (tmp_path / "out/reports/images.csv").read_text().splitlines()[1:]
    assert [row.split(",")[0] for row in rows] == ["two"]


def test_a_source_that_changed_is_done_again_and_counted_as_updated(tmp_path: Path) -> None:
    out, inputs = tmp_path / "out", images(tmp_path)
    assert run(inputs, out) == 0
    draw(tmp_path / "in/img0002.png", "changed")
    assert run(inputs, out) == 0
    ended = last_run(out)
    assert (ended["updated"], ended["written"], ended["skipped"]) == (1, 1, 4)
    assert verify(str(out)) == 0
    assert run(inputs, tmp_path / "at_once") == 0
    assert differing(tree_of(tmp_path / "at_once"), tree_of(out)) == []


def test_another_source_under_a_done_id_never_takes_its_mask(tmp_path: Path) -> None:
    out = tmp_path / "out"
    draw(tmp_path / "a/one.png", 1)
    draw(tmp_path / "b/one.png", 2)
    assert run(str(tmp_path / "a"), out) == 0
    mask = (out / "masks/one.png").read_bytes()
    assert run(str(tmp_path / "b"), out, "--max_failures", "1") == 0
    assert (out / "masks/one.png").read_bytes() == mask
    assert json.loads((out / "reports/failures.jsonl").read_text())["code"] == "DUPLICATE_ID"


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_of_two_sources_with_one_id_the_same_one_wins_in_any_order(tmp_path: Path, order: tuple[str, str]) -> None:
    draw(tmp_path / "in/a/one.png", 1)
    draw(tmp_path / "in/b/one.png", 2)
    draw(tmp_path / "in/b/same.png", 3)
    shutil.copy(tmp_path / "in/b/same.png", tmp_path / "in/a/same.png")
    out = tmp_path / "out"
    patterns = [str(tmp_path / "in" / name) + "/" for name in order]
    assert run(patterns, out, "--max_failures", "1") == 0
    success = json.loads((out / "_SUCCESS").read_text())
    assert [success[key] for key in ("inputs", "done", "failed", "duplicate")] == [4, 2, 1, 1]
    assert run(sorted(patterns), tmp_path / "other", "--max_failures", "1") == 0
    assert differing(tree_of(tmp_path / "other"), tree_of(out)) == []


@pytest.mark.parametrize(
    ("path", "harm"),
    [
        ("masks/img0001.png", lambda data: data[:-1]),
        ("masks/img0001.png", lambda data: b""),
        ("color/img0001.png", lambda data: data[: len(data) // 2]),
        ("overlay/img0003.jpg", lambda data: None),
        ("masks/img0003.png", lambda data: None),
    ],
)
def test_a_file_that_is_truncated_or_missing_is_made_again(tmp_path: Path, path: str, harm: Any) -> None:
    out, inputs = tmp_path / "out", images(tmp_path)
    assert run(inputs, out, "--products", "all") == 0
    before = tree_of(out)
    data = harm(before[path])
    (out / path).unlink()
    if data is not None:
        (out / path).write_bytes(data)
    assert run(inputs, out, "--products", "all") == 0
    assert differing(before, tree_of(out)) == []
    assert last_run(out)["skipped"] == 4


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (("--upsample", "labels"), "--upsample: logits, now labels"),
        (("--ignore_label", "77"), "--ignore_label: 255, now 77"),
        (("--min_confidence", "0.2"), "--min_confidence: 0.0, now 0.2"),
    ],
)
def test_other_options_are_refused_by_name_unless_overwrite(
    tmp_path: Path, flags: tuple[str, ...], named: str
) -> None:
    out, inputs = tmp_path / "out", images(tmp_path)
    assert run(inputs, out) == 0
    before = tree_of(out)
    with pytest.raises(RunError, match=named):
        run(inputs, out, *flags)
    assert differing(before, tree_of(out)) == []
    assert run(inputs, out, *flags, "--overwrite") == 0
    assert last_run(out)["written"] == 5
    assert verify(str(out)) == 0


def test_another_model_is_refused(tmp_path: Path) -> None:
    out, inputs = tmp_path / "out", images(tmp_path)
    assert run(inputs, out) == 0
    record = json.loads((out / ".job.json").read_text())
    record["settings"]["model"] = record["probe"]["digest"] = "0" * 64
    (out / ".job.json").write_text(json.dumps(record))
    with pytest.raises(RunError, match="the model was another file"):
        run(inputs, out)


def test_two_runs_into_one_output_are_refused_while_the_first_lives(tmp_path: Path) -> None:
    out, inputs = tmp_path / "out", images(tmp_path)
    out.mkdir()
    lease = {"run": "first", "host": "elsewhere", "pid": 1, "expires": time.time() + 50}
    (out / ".lock.json").write_text(json.dumps(lease))
    with pytest.raises(RunError, match="run first"):
        run(inputs, out)
    assert [path.name for path in out.iterdir()] == [".lock.json"]


@pytest.mark.parametrize(
    "lease", [{"host": "elsewhere", "expires": 1}, {"host": os.uname().nodename, **identity(), "start": 1}]
)
def test_a_lease_that_a_dead_run_left_is_taken_over(tmp_path: Path, lease: dict[str, Any]) -> None:
    out, inputs = tmp_path / "out", images(tmp_path)
    out.mkdir()
    (out / ".lock.json").write_text(json.dumps({"run": "dead", "pid": 1, "expires": time.time() + 50} | lease))
    assert run(inputs, out) == 0
    assert not (out / ".lock.json").exists()


def test_permanent_failures_are_not_tried_again_unless_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, inputs = tmp_path / "out", images(tmp_path, 2)
    poison = np.full((16, 16, 3), 50, np.uint8)
    poison[0, 0] = numpy_engine.RAISES
    save(tmp_path / "in/poison.png", poison)
    flags = ("--max_failures", "1")
    assert run(inputs, out, *flags) == 0
    before = tree_of(out)
    # The model is healed, and nobody notices: the failure is remembered.
    monkeypatch.setattr(numpy_engine, "_misbehave", lambda plane, batch: None)
    assert run(inputs, out, *flags) == 0
    assert differing(before, tree_of(out)) == []
    assert run(inputs, out, *flags, "--retry_failed") == 0
    assert (out / "masks/poison.png").exists()
    assert list((out / "failed").iterdir()) == []


def test_a_failed_source_that_was_mended_is_tried_again(tmp_path: Path) -> None:
    out, inputs = tmp_path / "out", images(tmp_path, 2)
    (tmp_path / "in/broken.png").write_bytes(b"not yet")
    assert run(inputs, out, "--max_failures", "1") == 0
    draw(tmp_path / "in/broken.png", "mended")
    assert run(inputs, out) == 0
    assert run(inputs, tmp_path / "at_once") == 0
    assert differing(tree_of(tmp_path / "at_once"), tree_of(out)) == []


def test_bundles_that_run_twice_give_the_same_tree(tmp_path: Path) -> None:
    inputs = images(tmp_path, 12)
    (tmp_path / "in/broken.png").write_bytes(b"<html>")
    flags = ("--products", "all", "--max_failures", "1")
    assert run(inputs, tmp_path / "once", *flags) == 0
    assert run(inputs, tmp_path / "twice", *flags, "--direct_runner_bundle_repeat=1") == 0
    assert differing(tree_of(tmp_path / "once"), tree_of(tmp_path / "twice")) == []


DIES_AT_THE_FIRST_FILE = """
import os, sys
from maskbeam.pipeline.storage import local_storage
local_storage._create = lambda staged, path: os._exit(9)
from tests.support.numpy_engine import main
main(sys.argv[1:])
"""


def test_a_death_while_the_lease_is_taken_leaves_nothing_behind(tmp_path: Path) -> None:
    out, inputs = tmp_path / "out", images(tmp_path)
    argv = [sys.executable, "-c", DIES_AT_THE_FIRST_FILE, *command(inputs, str(out))]
    assert subprocess.run(argv, check=False, timeout=120).returncode == 9
    assert [path.name for path in out.iterdir()] == [".tmp"]
    assert run(inputs, out) == 0
    assert run(inputs, tmp_path / "at_once") == 0
    assert differing(tree_of(tmp_path / "at_once"), tree_of(out)) == []


def test_success_is_gone_while_a_rerun_works_and_comes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, inputs = tmp_path / "out", images(tmp_path)
    assert run(inputs, out) == 0
    (out / "masks/img0001.png").unlink()
    monkeypatch.setattr(write, "put", lambda *_: (_ for _ in ()).throw(RunError("the disk is full; make room")))
    assert run(inputs, out) == 1
    assert not (out / "_SUCCESS").exists()
    assert not list((out / "reports").rglob("*.csv"))


def test_what_a_dead_run_left_half_written_is_cleared_away(tmp_path: Path) -> None:
    out, inputs = tmp_path / "out", images(tmp_path)
    half = out / ".tmp/20260101-000000-abcdef/0123456789abcdef"
    half.parent.mkdir(parents=True)
    half.write_bytes(b"half")
    assert run(inputs, out) == 0
    assert not [path for path in (out / ".tmp").rglob("*") if path.is_file()]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_no_partial_file_and_the_same_command_goes_on(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    out, inputs = tmp_path / "out", images(tmp_path, 6)
    hanging = pixels("hangs")
    hanging[0, 0] = numpy_engine.HANGS
    save(tmp_path / "in/zzz.png", hanging)
    argv = [sys.executable, "-m", "tests.support.numpy_engine", *command(inputs, str(out), "--products", "all")]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as child:
        until = time.monotonic() + 120
        while not (out / ".job.json").exists() and time.monotonic() < until:
            time.sleep(0.05)
        child.send_signal(number)
        said = child.communicate(timeout=60)[1]
    assert child.returncode == code
    assert "the same command goes on" in said
    assert not (out / "_SUCCESS").exists()
    assert not (out / ".lock.json").exists()
    draw(tmp_path / "in/zzz.png", "well")
    assert run(inputs, out, "--products", "all") == 0
    assert run(inputs, tmp_path / "at_once", "--products", "all") == 0
    assert differing(tree_of(tmp_path / "at_once"), tree_of(out)) == []


def test_a_folder_that_was_moved_keeps_its_masks(tmp_path: Path, calls: list[int]) -> None:
    inputs, out = images(tmp_path), tmp_path / "out"
    assert run(inputs, out) == 0
    before, moved = tree_of(out), str(tmp_path / "moved")
    shutil.move(inputs, moved)
    calls.clear()
    assert run(moved, out) == 0
    assert calls == []
    ended = last_run(out)
    assert (ended["done"], ended["skipped"], ended["duplicate"]) == (5, 5, 0)
    assert not [path for path in differing(before, tree_of(out)) if path.startswith("masks/")]


def test_a_mask_that_is_damaged_at_its_old_size_does_not_jam_the_output(tmp_path: Path) -> None:
    inputs, out = images(tmp_path), tmp_path / "out"
    assert run(inputs, out) == 0
    mask = next((out / "masks").iterdir())
    data = bytearray(mask.read_bytes())
    data[-20] ^= 1
    mask.write_bytes(bytes(data))
    assert run(inputs, out) == 0
    assert verify(str(out)) == 1
