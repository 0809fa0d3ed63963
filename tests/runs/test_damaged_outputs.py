"""Outputs whose own files are damaged: each says so, and none is taken for a new one or for a good one."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from maskbeam.pipeline.commands.merge import merge
from maskbeam.pipeline.storage import local_errors
from maskbeam.pipeline.verify.verify import verify
from maskbeam.transforms.errors import RunError
from tests.support.numpy_engine import command, run_numpy
from tests.support.trees import differing, draw, draw_folder, tree_of


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    return draw_folder(tmp_path / "in", 3)


@pytest.fixture
def out(tmp_path: Path, inputs: Path) -> Path:
    assert run(inputs, tmp_path / "out") == 0
    return tmp_path / "out"


def run(inputs: Path, out: Path, *flags: str) -> int:
    return run_numpy(command(str(inputs), str(out), *flags))


@pytest.mark.parametrize("content", [b"", b"\xff\x00", b"[]", b"{}", b'{"settings": 1}', b"null"])
def test_a_damaged_record_of_the_job_is_no_new_output_and_no_other_model(
    inputs: Path, out: Path, content: bytes
) -> None:
    (out / ".job.json").write_bytes(content)
    before = tree_of(out)
    with pytest.raises(RunError, match=r"\.job\.json is damaged"):
        run(inputs, out)
    assert differing(before, tree_of(out)) == []


def test_a_record_of_the_job_that_cannot_be_read_is_no_new_output(
    inputs: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = os.open

    def refusing(path: str, *args: int) -> int:
        if path.endswith(".job.json"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return opened(path, *args)

    before = tree_of(out)
    monkeypatch.setattr(local_errors, "PAUSES", ())
    monkeypatch.setattr(os, "open", refusing)
    for flags in ((), ("--overwrite",)):
        with pytest.raises(RunError, match=r"\.job\.json is there and cannot be read; repair the storage"):
            run(inputs, out, *flags)
    monkeypatch.undo()
    assert differing(before, tree_of(out)) == []


def test_a_folder_in_the_place_of_a_file_is_named(inputs: Path, out: Path) -> None:
    (out / ".job.json").unlink()
    (out / ".job.json").mkdir()
    with pytest.raises(RunError, match=r"\.job\.json must be a file, and is something else; remove it"):
        run(inputs, out, "--overwrite")


@pytest.mark.parametrize(
    ("path", "harm"),
    [
        ("_SUCCESS", lambda data: data[:20]),
        (".job.json", lambda data: b"[]"),
        ("reports/summary.json", lambda data: data[:-9]),
        ("reports/failures.jsonl", lambda data: b'{"id"'),
        ("reports/failures.jsonl", lambda data: b"[]\n"),
        ("reports/images.csv", lambda data: data + b"cut,1\n"),
        ("reports/images.csv", lambda data: data + b"\xff\xfe,1,1,1\n"),
    ],
)
def test_verify_names_a_damaged_report(out: Path, path: str, harm: Callable[[bytes], bytes]) -> None:
    (out / path).write_bytes(harm((out / path).read_bytes()))
    with pytest.raises(RunError, match=f"{path} is damaged"):
        verify(str(out))


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"part": "1/2"}', '{"part": 1, "options": {"flags": {}, "trusted": false}}', '{"part": "x"}'],
)
def test_merge_names_a_part_whose_word_is_damaged(inputs: Path, tmp_path: Path, content: str) -> None:
    for part in ("1/2", "2/2"):
        assert run(inputs, tmp_path / "out", "--part", part) == 0
    (tmp_path / "out/parts/1-of-2.json").write_text(content)
    with pytest.raises(RunError, match=r"parts/1-of-2\.json is damaged; remove it, and run that part again"):
        merge(str(tmp_path / "out"))


def test_a_whole_run_leaves_nothing_of_parts_that_came_before_it(inputs: Path, out: Path, tmp_path: Path) -> None:
    parted = tmp_path / "parted"
    assert run(inputs, parted, "--part", "1/2") == 0
    assert run(inputs, parted) == 0
    assert differing(tree_of(out), tree_of(parted)) == []
    assert not (parted / "parts").exists()


def test_overwriting_with_other_options_spares_no_mask_of_another_folder(tmp_path: Path, out: Path) -> None:
    other = tmp_path / "other"
    for number in range(3):
        draw(other / f"img{number:04}.png", -number - 1)
    flags = ("--upsample", "labels", "--overwrite")
    assert run(other, out, *flags) == 0
    assert verify(str(out)) == 0
    assert run(other, tmp_path / "at_once", *flags) == 0
    assert differing(tree_of(tmp_path / "at_once"), tree_of(out)) == []


def test_what_was_orphaned_by_a_failure_is_told(inputs: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (inputs / "img0001.png").write_bytes(b"no image any more")
    assert run(inputs, out, "--max_failures", "1") == 0
    capsys.readouterr()
    assert verify(str(out)) == 0
    assert "1 orphan: of inputs that the last command did not name, or that failed in it" in capsys.readouterr().out
    assert json.loads((out / "_SUCCESS").read_text())["failed"] == 1
