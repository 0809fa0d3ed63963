"""`--overwrite` over the masks of commands with other input."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from maskbeam.pipeline.verify.verify import verify
from tests.support.fake_gcs import FakeGcs
from tests.support.numpy_engine import command, run_numpy
from tests.support.trees import differing, draw, tree_of

FLAGS = ("--products", "all", "--max_failures", "100%")


def run(inputs: list[Path], out: Path | str, *flags: str) -> int:
    return run_numpy(command([f"{folder}/" for folder in inputs], str(out), *FLAGS, *flags))


def last_run(out: Path) -> dict[str, Any]:
    newest = max((out / "runs").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    return dict(json.loads(newest.read_text()))


def folders(tmp_path: Path, *names: str, count: int = 4) -> list[Path]:
    """Folders whose images have the same names and other content."""
    for name in names:
        for number in range(count):
            draw(tmp_path / name / f"img{number}.png", (name, number))
    return [tmp_path / name for name in names]


def check_as_if_new(tmp_path: Path, inputs: list[Path], out: Path) -> None:
    assert run(inputs, tmp_path / "new") == 0
    assert differing(tree_of(tmp_path / "new"), tree_of(out)) == []
    assert verify(str(out)) == 0


def test_masks_of_another_folder_are_replaced(tmp_path: Path) -> None:
    one, other = folders(tmp_path, "one", "other")
    out = tmp_path / "out"
    assert run([one], out) == 0
    assert run([other], out, "--overwrite") == 0
    assert (last_run(out)["written"], last_run(out)["updated"]) == (4, 0)
    check_as_if_new(tmp_path, [other], out)


def test_masks_of_other_ids_stay(tmp_path: Path) -> None:
    one, other = folders(tmp_path, "one", "other")
    draw(one / "only.png", "only")
    out = tmp_path / "out"
    assert run([one], out) == 0
    mask = (out / "masks/only.png").read_bytes()
    assert run([other], out, "--overwrite") == 0
    assert (out / "masks/only.png").read_bytes() == mask


def test_objects_of_another_folder_are_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = folders(tmp_path, "one", "other")
    with FakeGcs() as fake:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", fake.url)
        fake.service.buckets["b"] = {}
        for inputs, out in ((one, "out"), (other, "out"), (other, "new")):
            assert run([inputs], f"gs://b/{out}", "--overwrite") == 0
        files = {name: found.data for name, found in fake.service.buckets["b"].items() if "/runs/" not in name}
    trees = [
        {name.removeprefix(out): files[name] for name in files if name.startswith(out)} for out in ("out", "new")
    ]
    assert len(trees[0]) > 20
    assert differing(*trees) == []


@pytest.mark.parametrize("first", ["one", "other"])
@pytest.mark.parametrize("repeat", ["0", "1"])
def test_two_inputs_of_the_command_are_duplicates_still(tmp_path: Path, first: str, repeat: str) -> None:
    """One of them has made the masks before, by another command; either may be the one that keeps the id."""
    inputs = folders(tmp_path, "one", "other", count=12)
    out = tmp_path / "out"
    assert run([tmp_path / first], out) == 0
    assert run(inputs, out, "--overwrite", f"--direct_runner_bundle_repeat={repeat}") == 0
    success = json.loads((out / "_SUCCESS").read_text())
    assert [success[key] for key in ("inputs", "done", "failed")] == [24, 12, 12]
    check_as_if_new(tmp_path, inputs, out)


DIES = """
import os, sys
from maskbeam.pipeline.output import write
put, left = write.put, [int(sys.argv.pop(1))]
def dying(*args):
    left[0] -= 1
    return put(*args) if left[0] >= 0 else os._exit(9)
write.put = dying
from tests.support.numpy_engine import main
main(sys.argv[1:])
"""


@pytest.mark.parametrize("writes", [0, 13, 40])
def test_a_run_that_died_goes_on_where_it_stopped(tmp_path: Path, writes: int) -> None:
    inputs = folders(tmp_path, "one", "other", count=6)
    out = tmp_path / "out"
    assert run(inputs[:1], out) == 0
    argv = command([f"{folder}/" for folder in inputs], str(out), *FLAGS, "--overwrite")
    died = subprocess.run([sys.executable, "-c", DIES, str(writes), *argv], check=False, timeout=120)
    assert died.returncode == 9
    assert run(inputs, out, "--overwrite") == 0
    check_as_if_new(tmp_path, inputs, out)


def test_a_second_run_does_nothing(tmp_path: Path) -> None:
    one, other = folders(tmp_path, "one", "other")
    out = tmp_path / "out"
    for inputs in (one, other, other):
        assert run([inputs], out, "--overwrite") == 0
    assert (last_run(out)["written"], last_run(out)["skipped"]) == (0, 4)


def test_confidence_of_classes_leaves_and_that_of_folders_named_like_them_stays(tmp_path: Path) -> None:
    inputs, out, new = tmp_path / "in", tmp_path / "out", tmp_path / "new"
    for name in ("a", "class_0/a"):
        draw(inputs / f"{name}.png", name)
    before = ("--head", "multilabel_logits", "--products", "all")
    after = (*before[:2], "--multilabel", "argmax", "--products", "confidence")
    assert run_numpy(command(str(inputs), str(out), *before)) == 0
    for folder, flags in ((out, ("--overwrite",)), (new, ())):
        assert run_numpy(command(str(inputs), str(folder), *after, *flags)) == 0
    assert differing(tree_of(new), tree_of(out)) == []
