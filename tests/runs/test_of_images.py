"""Options that matter to some images only: other values cost these images, and nobody else."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskbeam.transforms.errors import RunError
from tests.support.numpy_engine import NAN
from tests.support.small_runs import ends, planned, small_run
from tests.support.trees import differing, pixels, save, tree_of
from tests.unit.pipeline.job.test_settings import begin_older

SIZE = (12, 14)


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    image = pixels("image", SIZE)
    save(tmp_path / "in/a_plain.png", image)
    save(tmp_path / "in/b_alpha.png", np.dstack([image, image[..., 0]]))
    save(tmp_path / "in/c_deep.png", np.arange(168, dtype=np.uint16).reshape(SIZE) * 24)
    poisoned = image.copy()
    poisoned[0, 0] = NAN
    save(tmp_path / "in/d_nan.png", poisoned)
    exif = "MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0".encode("latin-1")
    Image.fromarray(image).save(tmp_path / "in/e_turned.png", exif=b"Exif\0\0" + exif)
    return tmp_path / "in"


@pytest.mark.parametrize(
    ("flags", "touched"),
    [
        (("--input_range", "0,4095"), "c_deep"),
        (("--background", "0,200,0"), "b_alpha"),
        (("--orientation", "upright"), "e_turned"),
    ],
)
def test_another_value_costs_the_images_that_it_matters_to(
    inputs: Path, tmp_path: Path, flags: tuple[str, ...], touched: str
) -> None:
    out, at_once = tmp_path / "out", tmp_path / "at_once"
    usual = ("--nonfinite", "ignore")
    assert ends(small_run(inputs, out, *usual)) == ["done"] * 5
    files = tree_of(out / "masks")
    names = sorted(path.stem for path in inputs.iterdir())
    found = small_run(inputs, out, *usual, *flags)
    assert dict(zip(names, ends(found), strict=True)) == dict.fromkeys(names, "skipped") | {touched: "OTHER_OPTIONS"}
    assert tree_of(out / "masks") == files
    assert f"say {flags[0]}" in str(found) or f"leave out {flags[0]}" in str(found)
    assert not (out / "failed").exists()
    # Back again, as the reason says, or on with --overwrite.
    assert ends(small_run(inputs, out, *usual)) == ["skipped"] * 5
    ended = ends(small_run(inputs, out, *usual, *flags, "--overwrite"))
    assert dict(zip(names, ended, strict=True)) == dict.fromkeys(names, "skipped") | {touched: "done"}
    assert ends(small_run(inputs, out, *usual, *flags, "--overwrite")) == ["skipped"] * 5
    small_run(inputs, at_once, *usual, *flags)
    assert differing(tree_of(at_once), tree_of(out)) == []
    assert differing(files, tree_of(out / "masks")) == [f"{touched}.png"]


def test_nan_may_be_ignored_later_and_what_was_ignored_does_not_pass_for_good(inputs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert ends(small_run(inputs, out)) == ["done"] * 3 + ["NONFINITE", "done"]
    assert ends(small_run(inputs, out, "--nonfinite", "ignore")) == ["skipped"] * 3 + ["done", "skipped"]
    assert ends(small_run(inputs, out)) == ["skipped"] * 3 + ["OTHER_OPTIONS", "skipped"]


def test_a_range_that_is_given_is_the_one_that_16_bits_have_by_themselves(inputs: Path, tmp_path: Path) -> None:
    small_run(inputs, tmp_path / "out", "--nonfinite", "ignore")
    same = ("--nonfinite", "ignore", "--input_range", "0,65535")
    assert ends(small_run(inputs, tmp_path / "out", *same)) == ["skipped"] * 5


def test_the_plan_says_what_becomes_of_them(inputs: Path, tmp_path: Path) -> None:
    small_run(inputs, tmp_path / "out")
    [note] = planned(inputs, tmp_path / "out", "--background", "1,2,3").notes
    assert note.startswith(
        "--background was none, now 1,2,3: an image that it matters to, and that is done, fails as"
    )
    [note] = planned(inputs, tmp_path / "out", "--background", "1,2,3", "--overwrite").notes
    assert note.endswith("is done again")


def test_records_say_what_mattered_and_nothing_else(inputs: Path, tmp_path: Path) -> None:
    small_run(inputs, tmp_path / "out", "--nonfinite", "ignore")
    said = {}
    for path in (tmp_path / "out/masks").iterdir():
        text = path.read_bytes().partition(b"maskbeam\0")[2]
        said[path.stem] = json.JSONDecoder().raw_decode(text.decode("latin-1"))[0].get("options")
    assert said == {
        "a_plain": None,
        "b_alpha": {"--background": "none"},
        "c_deep": {"--input_range": "0,65535"},
        "d_nan": {"--nonfinite": "ignore"},
        "e_turned": {"--orientation": "stored"},
    }


def test_masks_of_the_version_before_do_not_say_it_so_they_are_refused_as_one(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    black = ("--background", "0,0,0")
    begin_older(lambda: small_run(inputs, out, *black), out, monkeypatch)
    says = "--background: 0,0,0, now not given. To go on with them, say --background 0,0,0"
    with pytest.raises(RunError, match=re.escape(says)):
        planned(inputs, out)
    assert ends(small_run(inputs, out, *black)) == ["skipped"] * 3 + ["NONFINITE", "skipped"]
    with pytest.raises(RunError, match=re.escape(says)):
        planned(inputs, out)
