"""Outputs that are removed, moved or taken over while a run goes on, and what lies in the place of their files."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from maskbeam.pipeline.job.end_output import check_output
from maskbeam.pipeline.job.end_output import count_masks as counted
from maskbeam.pipeline.job.job import Job
from maskbeam.pipeline.main import main
from maskbeam.pipeline.output.claim import Claim
from maskbeam.pipeline.output.look_up import held_record
from maskbeam.pipeline.output.tree import Tree
from maskbeam.pipeline.output.write import File, put
from maskbeam.pipeline.storage import Unreadable
from maskbeam.pipeline.storage.local_storage import LocalStorage
from maskbeam.transforms.elements import Array, Source
from maskbeam.transforms.errors import ImageError, RunError
from maskbeam.transforms.predict import Loader, Scores
from tests.support.elements import encoded_image
from tests.support.numpy_engine import NumpyEngine, command, numpy_loader, run_numpy
from tests.support.trees import draw_folder

COUNT = 20


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """The job of a run over three images that has ended."""
    jobs: list[Job] = []

    def noted(job: Job) -> tuple[Loader, Job]:
        jobs.append(job)
        return numpy_loader(job)

    folder = tmp_path_factory.mktemp("finished")
    argv = command(str(draw_folder(folder / "in", 3)), str(folder / "out"))
    assert run_numpy(argv, make_loader=noted) == 0
    return jobs[0]


def test_masks_of_no_input_are_counted(finished: Job) -> None:
    assert [check_output(finished, done) for done in (3, 1)] == [0, 2]


def test_an_output_that_lacks_masks_is_no_success(finished: Job) -> None:
    with pytest.raises(RunError, match=r"should hold 4 masks and holds 3: .* run the same command again"):
        check_output(finished, 4)


@pytest.mark.parametrize("content", [None, '{"settings": {}}'])
def test_an_output_whose_record_is_gone_or_another_s_is_no_success(content: str | None, finished: Job) -> None:
    record = Path(finished.tree.root, ".job.json")
    before = record.read_text()
    record.unlink() if content is None else record.write_text(content)
    try:
        with pytest.raises(RunError, match=r"\.job\.json (was removed|is another run's)"):
            check_output(finished, 3)
    finally:
        record.write_text(before)


def run_and(action: Callable[[], object], inputs: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """A run during which something is done to its output, before its third batch."""
    calls: list[int] = []
    plain = NumpyEngine.__call__

    def interrupted(self: NumpyEngine, planes: Array) -> Scores:
        calls.append(len(planes))
        if len(calls) == 3:
            action()
        return plain(self, planes)

    monkeypatch.setattr(NumpyEngine, "__call__", interrupted)
    return run_numpy(command(str(inputs), str(out)))


def test_masks_that_are_removed_while_a_run_goes_on_fail_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"

    def remove() -> None:
        shutil.rmtree(out / "masks", ignore_errors=True)
        # Whatever was written by then: the threads behind the model may be late.
        monkeypatch.setattr(
            "maskbeam.pipeline.job.end_output.count_masks", lambda tree: min(COUNT - 1, counted(tree))
        )

    assert run_and(remove, draw_folder(tmp_path / "in", COUNT), out, monkeypatch) == 1
    assert f"should hold {COUNT} masks" in capsys.readouterr().err
    assert not (out / "_SUCCESS").exists()


def test_a_run_that_another_one_has_overtaken_writes_nothing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    inputs, out = draw_folder(tmp_path / "in", COUNT), tmp_path / "out"
    newer = json.dumps({"run": "newer", "expires": 0})

    def overtake() -> None:
        (out / ".lock.json").write_text(newer)
        # As after it was stopped for a while.
        monkeypatch.setattr("maskbeam.pipeline.output.lease.Trust.holds", False)

    assert run_and(overtake, inputs, out, monkeypatch) == 1
    assert "run newer has taken the output" in capsys.readouterr().err
    assert (out / ".lock.json").read_text() == newer
    assert not (out / "_SUCCESS").exists()
    assert not (out / "reports").exists()
    assert len(list(out.glob("masks/*"))) < COUNT


def blocked(root: Path, what: str) -> Path:
    mask = root / "masks/sub/a.png"
    if what == "file for a folder":
        mask = mask.parent
    mask.parent.mkdir(parents=True)
    if what == "folder":
        mask.mkdir()
    elif what == "pipe":
        os.mkfifo(mask)
    elif what == "link to nothing":
        mask.symlink_to(root / "nothing")
    else:
        mask.write_text("mine")
    return mask


@pytest.mark.parametrize("what", ["folder", "pipe", "link to nothing", "file for a folder"])
def test_what_lies_in_the_place_of_a_mask_costs_that_image_only(what: str, tmp_path: Path) -> None:
    tree = Tree(str(tmp_path), f"{tmp_path}/.tmp/run", "masks/{}.png", "", "")
    mask, file, claim = blocked(tmp_path, what), File("masks/sub/a.png", b"1"), Claim("p", "v", "c", "f", "i")
    with pytest.raises(ImageError, match="OUTPUT_BLOCKED"):
        put(tree, file, claim)
    assert not (tmp_path / "nothing").exists()
    assert list((tmp_path / ".tmp/run").iterdir()) == []
    mask.rmdir() if what == "folder" else mask.unlink()
    assert put(tree, file, claim).kept_by is None
    assert (tmp_path / "masks/sub/a.png").read_bytes() == b"1"


def test_a_mask_that_nobody_may_read_costs_that_image_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> Any:
        raise Unreadable("No access to a file in the output")

    tree = Tree(str(tmp_path), f"{tmp_path}/.tmp/run", "masks/{}.png", "", "")
    put(tree, File("masks/a.png", b"1"), Claim("p", "v", "c", "f", "i"))
    for reads in ("read", "read_ends", "read_versioned"):
        monkeypatch.setattr(LocalStorage, reads, refuse)
    with pytest.raises(ImageError, match=r"OUTPUT_BLOCKED: .* cannot be read; remove it"):
        held_record(tree, encoded_image("a", Source("/in/a.png", "1")))
    with pytest.raises(ImageError, match="OUTPUT_BLOCKED"):
        put(tree, File("masks/a.png", b"2"), Claim("p", "v", "c", "f", "i"))


@pytest.mark.parametrize("name", ["masks", "reports"])
def test_a_file_for_a_folder_is_named_before_work(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_text("mine")
    assert main(["run", "--input", "x.png", "--model", "m", "--output", str(out)]) == 2
    assert f"{out}/{name} must be a folder" in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == [name]


def test_an_output_whose_name_is_too_long_or_leads_nowhere_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    for name, said in (("x" * 300, "File name too long"), ("link", "is a link to nothing")):
        assert main(["run", "--input", "x.png", "--model", "m", "--output", str(tmp_path / name)]) == 2
        assert said in capsys.readouterr().err
