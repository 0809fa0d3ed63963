"""What `--overwrite` removes: products of other options beside masks that were made again, and nothing else."""

from dataclasses import replace
from pathlib import Path

import pytest

from maskbeam.pipeline.output.leftovers import remove_leftovers
from maskbeam.transforms.errors import RunError
from maskbeam.transforms.products.render import patterns
from tests.support.small_runs import planned, small_run
from tests.support.trees import differing, draw_folder, tree_of

PLANES = ("--head", "multilabel_logits")
TABLES = {"sea": "name\nsky\nsea\nsoil\n", "lake": "name\nsky\nlake\nsoil\n"}
CASES = {
    "fewer products": (("--products", "all"), ("--upsample", "labels")),
    "planes under other names": ((*PLANES, "--classes", "sea"), (*PLANES, "--classes", "lake")),
    "the first plane, too": ((*PLANES, "--classes", "sea"), PLANES),
    "fewer planes": ((*PLANES, "--classes", "sea"), (*PLANES, "--classes", "sea", "--binary_classes", "soil")),
    "a label map for planes": ((*PLANES, "--products", "all"), (*PLANES, "--multilabel", "argmax")),
    "planes for a label map": ((*PLANES, "--multilabel", "argmax", "--products", "all"), PLANES),
}


def make(inputs: Path, out: Path, *flags: str) -> None:
    """A run, and what follows it under --overwrite."""
    for name, text in TABLES.items():
        (inputs.parent / f"{name}.csv").write_text(text)
    flags = tuple(str(inputs.parent / f"{flag}.csv") if flag in TABLES else flag for flag in flags)
    small_run(inputs, out, *flags)
    job = planned(inputs, out, *flags).job
    if job.tree.overwrite:
        remove_leftovers(replace(job.tree, hold=None), patterns(job.rendering, planes=job.labeling.has_planes))


def files(out: Path) -> dict[str, bytes]:
    return {path: data for path, data in tree_of(out).items() if not path.startswith((".", "failed"))}


@pytest.mark.parametrize("case", CASES)
def test_nothing_of_other_options_stays_beside_what_was_made_again(case: str, tmp_path: Path) -> None:
    inputs, out, (before, after) = draw_folder(tmp_path / "in", 2), tmp_path / "out", CASES[case]
    make(inputs, out, *before)
    (out / "color").mkdir(exist_ok=True)
    (out / "color/mine.png").write_bytes(b"a user's")
    make(inputs, out, *after, "--overwrite")
    make(inputs, tmp_path / "new", *after)
    assert differing({**files(tmp_path / "new"), "color/mine.png": b"a user's"}, files(out)) == []


def test_what_an_image_has_that_fails_now_is_kept_whole(tmp_path: Path) -> None:
    inputs, out = draw_folder(tmp_path / "in", 2), tmp_path / "out"
    make(inputs, out, "--products", "all")
    kept = {path: data for path, data in files(out).items() if "img0001" in path}
    (inputs / "img0001.png").unlink()
    make(inputs, out, "--upsample", "labels", "--overwrite")
    assert {path: data for path, data in files(out).items() if "img0001" in path} == kept
    assert sorted(files(out).keys() - kept) == ["masks/img0000.png"]


@pytest.mark.parametrize("before", [(), ("--anonymous_ids",)], ids=["plain names", "keyed ones"])
def test_masks_under_names_that_the_new_ones_do_not_have_are_not_left_beside_them(
    before: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MASKBEAM_ID_KEY", "a key of this test")
    inputs, out = draw_folder(tmp_path / "in", 1), tmp_path / "out"
    make(inputs, out, *before)
    monkeypatch.setenv("MASKBEAM_ID_KEY", "another key of this test")
    with pytest.raises(
        RunError, match=r"--anonymous_ids: (not given, now yes|the key, MASKBEAM_ID_KEY, was another)"
    ):
        planned(inputs, out, "--anonymous_ids")
    with pytest.raises(RunError, match=r"under other names.*another --output, or remove"):
        planned(inputs, out, "--anonymous_ids", "--overwrite")
