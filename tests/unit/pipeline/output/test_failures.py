"""What fails is remembered with what could mend it: the remedy that a reason names works in the same output."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from maskbeam.pipeline.job.job import make_job
from maskbeam.pipeline.job.settings import mending_of
from maskbeam.pipeline.options import RunOptions
from maskbeam.pipeline.output.failures import leave_note, recall_failure, remembered
from maskbeam.pipeline.output.tree import Tree
from maskbeam.transforms.elements import Failure, Source
from maskbeam.transforms.errors import Code
from tests.support.elements import encoded_image
from tests.support.small_runs import ends, small_run
from tests.support.trees import draw
from tests.unit.pipeline.job.test_settings import CLASSES, FOUND

IMAGE = encoded_image("a", Source("/in/a.png", "1"))


def tree(root: Path, *, run: str = "run", named: bool = False, decoder: str = "", **options: Any) -> Tree:
    usual = RunOptions()
    for group, name, value in ((*key.split("__"), value) for key, value in options.items()):
        usual = replace(usual, **{group: replace(getattr(usual, group), **{name: value})})
    job = make_job(usual, run, replace(FOUND, spec=replace(FOUND.spec, resize_named=named)), CLASSES)
    mending = dict(job.tree.mending) | ({"decoder": decoder} if decoder else {})
    return replace(job.tree, root=str(root), staging=f"{root}/.tmp/{run}", hold=None, mending=tuple(mending.items()))


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        ("TOO_LARGE", {"decode__max_pixels": 5}),
        ("TOO_LARGE", {"output__products": frozenset({"overlay"})}),
        ("BAD_SHAPE", {"named": True}),
        ("BAD_ID", {"read__name_key": "name"}),
        ("BAD_ID", {"read__id_root": "/in"}),
        ("CRASH", {"decode__isolate": True}),
        ("HANG", {"decode__isolate": True}),
        ("UNREADABLE", {"decoder": "pillow 99"}),
        ("UNSUPPORTED_FORMAT", {"decoder": "pillow 99"}),
        ("MISSING_KEY", {"read__image_key": "image"}),
    ],
)
def test_a_failure_is_tried_again_when_what_could_mend_it_has_changed(
    tmp_path: Path, code: str, remedy: dict[str, Any]
) -> None:
    leave_note(tree(tmp_path), Failure("a", IMAGE.source, code, "why"))
    assert recall_failure(tree(tmp_path, run="same"), IMAGE) == Failure("a", IMAGE.source, code, "why")
    assert recall_failure(tree(tmp_path, run="next", **remedy), IMAGE) is None
    elsewhere = {"decode__max_pixels": 5} if code != "TOO_LARGE" else {"read__name_key": "name"}
    assert recall_failure(tree(tmp_path, run="other", **elsewhere), IMAGE) is not None


@pytest.mark.parametrize(("code", "recalled"), [("TOO_LARGE", False), ("MODEL_FAILED", True)])
def test_a_note_of_the_version_before_is_tried_once_more_where_an_option_could_mend_it(
    tmp_path: Path, code: str, recalled: bool
) -> None:
    leave_note(tree(tmp_path), Failure("a", IMAGE.source, code, "why"))
    [path] = (tmp_path / "failed").iterdir()
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "options"}))
    assert (recall_failure(tree(tmp_path, run="next"), IMAGE) is not None) == recalled


def test_what_mends_is_known_by_its_name() -> None:
    known = {name for name, _ in mending_of(RunOptions(), FOUND.spec)}
    assert {name for code in Code for name in code.options} == known


def test_the_remedy_works_in_the_same_output_and_the_image_is_forgotten(tmp_path: Path) -> None:
    inputs, out = draw(tmp_path / "in/large.png", 1, (40, 40)).parent, tmp_path / "out"
    draw(inputs / "small.png", 2)
    for _ in range(2):
        found = small_run(inputs, out, "--max_pixels", "1000")
    assert ends(found) == ["TOO_LARGE", "skipped"]
    assert ends(small_run(inputs, out)) == ["done", "skipped"]
    assert list((out / "failed").iterdir()) == []


def test_a_note_tells_what_could_have_mended_it(tmp_path: Path) -> None:
    leave_note(tree(tmp_path), Failure("a", IMAGE.source, "CRASH", "why"))
    [note] = remembered(tree(tmp_path, run="next")).values()
    assert (note.code, note.reason, set(note.options)) == ("CRASH", "why", {"decoder", "--isolate_decoding"})
