"""Products that are asked for later are those of one run that had them from the start, made without the model."""

from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest

from maskbeam.pipeline.job.settings import drawing_of
from maskbeam.pipeline.verify.verify import verify
from maskbeam.transforms.elements import Labels, Source
from maskbeam.transforms.products.render import patterns, render
from maskbeam.transforms.products.rendering import Rendering
from tests.support import numpy_engine
from tests.support.elements import made_labels
from tests.support.numpy_engine import command, run_numpy
from tests.support.plain_script import read_pixels
from tests.support.small_runs import ends, planned, small_run
from tests.support.trees import differing, draw_folder, tree_of
from tests.unit.pipeline.job.test_settings import begin_older

NAMES = "name,color\nred,#ff0000\ngreen,#00ff00\nblue,#0000ff\n"


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    (tmp_path / "names.csv").write_text(NAMES)
    return draw_folder(tmp_path / "in", 2)


def classes(inputs: Path, *flags: str) -> tuple[str, ...]:
    return "--classes", str(inputs.parent / "names.csv"), *flags


def run(inputs: Path, out: Path, *flags: str) -> list[str]:
    return ends(small_run(inputs, out, *classes(inputs, *flags)))


def forbid_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def called(*_: object) -> NoReturn:
        raise AssertionError("the model was called")

    monkeypatch.setattr(numpy_engine.NumpyEngine, "__call__", called)


def test_what_is_asked_for_later_is_drawn_from_masks_as_in_one_run(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    products = classes(inputs, "--products", "color,binary,overlay", "--binary_classes", "red,blue")
    out, at_once = tmp_path / "out", tmp_path / "at_once"
    assert run_numpy(command(str(inputs), str(at_once), *products)) == 0
    assert run(inputs, out) == ["done"] * 2
    forbid_model(monkeypatch)
    assert run(inputs, out, "--products", "binary", "--binary_classes", "blue") == ["done"] * 2
    assert run_numpy(command(str(inputs), str(out), *products)) == 0
    assert "color, overlay: drawn from the masks that are there, without the model" in capsys.readouterr().err
    assert differing(tree_of(at_once), tree_of(out)) == []
    assert verify(str(out)) == 0
    # Fewer than there are: all stay, and are still looked after.
    (out / "color/img0001.png").unlink()
    assert run(inputs, out, "--products", "binary", "--binary_classes", "blue") == ["skipped", "done"]
    assert differing(tree_of(at_once), tree_of(out)) == []
    assert "color, overlay: asked for before; stays, and is kept up" in planned(inputs, out, *products[:2]).describe()


def test_confidence_needs_the_model_and_it_is_said(inputs: Path, tmp_path: Path) -> None:
    out, at_once = tmp_path / "out", tmp_path / "at_once"
    run(inputs, at_once, "--products", "confidence,color")
    run(inputs, out, "--products", "color")
    plan = planned(inputs, out, *classes(inputs, "--products", "confidence"))
    assert plan.notes[0] == "confidence: not in the masks that are there, so the model does these images again"
    assert run(inputs, out, "--products", "confidence") == ["done"] * 2
    assert differing(tree_of(at_once), tree_of(out)) == []


def test_classes_of_other_names_and_colours_are_drawn_anew(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, at_once = tmp_path / "out", tmp_path / "at_once"
    products = ("--products", "color,binary,overlay", "--binary_classes")
    run(inputs, out, *products, "red,green")
    other = NAMES.replace("red,", "brick,").replace("#00ff00", "#102030")
    (tmp_path / "names.csv").write_text(other)
    run(inputs, at_once, *products, "brick,green", "--overlay_opacity", "0.25")
    forbid_model(monkeypatch)
    assert run(inputs, out, *products, "brick,green", "--overlay_opacity", "0.25") == ["done"] * 2
    assert differing(tree_of(at_once), tree_of(out)) == []
    assert run(inputs, out, "--overlay_opacity", "0.25") == ["skipped"] * 2
    # Named the other way round, so that every file has the name of another.
    (tmp_path / "names.csv").write_text(other.replace("brick", "x").replace("green", "brick").replace("x,", "green,"))
    assert run(inputs, out) == ["done"] * 2
    held = read_pixels(out / "masks/img0000.png")
    for class_id, name in enumerate(("green", "brick")):
        assert np.array_equal(read_pixels(out / f"binary/{name}/img0000.png") > 0, held == class_id)


def test_a_file_of_a_user_is_not_taken_for_an_outdated_mask(inputs: Path, tmp_path: Path) -> None:
    run(inputs, tmp_path / "out", "--products", "binary")
    (tmp_path / "out/binary/red/img0000.png").write_bytes(b"painted over")
    (tmp_path / "names.csv").write_text(NAMES.replace("red,", "brick,"))
    assert run(inputs, tmp_path / "out", "--products", "binary") == ["done"] * 2
    assert [path.name for path in (tmp_path / "out/binary/red").iterdir()] == ["img0000.png"]
    assert (tmp_path / "out/binary/brick/img0000.png").exists()


def test_an_overlay_whose_image_cannot_be_read_is_a_failure_and_no_lost_mask(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(inputs, tmp_path / "out")
    files = tree_of(tmp_path / "out/masks")
    flags = classes(inputs, "--products", "overlay", "--max_pixels", "100")
    assert ends(small_run(inputs, tmp_path / "out", *flags)) == ["TOO_LARGE"] * 2
    forbid_model(monkeypatch)
    assert ends(small_run(inputs, tmp_path / "out", *flags)) == ["TOO_LARGE"] * 2
    assert tree_of(tmp_path / "out/masks") == files
    assert run(inputs, tmp_path / "out", "--products", "overlay") == ["done"] * 2
    assert not list((tmp_path / "out/failed").iterdir())


def test_a_damaged_mask_is_nothing_to_draw_from(inputs: Path, tmp_path: Path) -> None:
    out, at_once = tmp_path / "out", tmp_path / "at_once"
    run(inputs, at_once, "--products", "color")
    run(inputs, out)
    mask = out / "masks/img0001.png"
    data = bytearray(mask.read_bytes())
    data[-20] ^= 1
    mask.write_bytes(bytes(data))
    assert run(inputs, out, "--products", "color") == ["done"] * 2
    assert differing(tree_of(at_once), tree_of(out)) == []


def test_an_older_output_is_drawn_anew_only_where_that_gives_something_else(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, at_once = tmp_path / "out", tmp_path / "at_once"
    flags = ("--products", "color,binary")
    begin_older(lambda: run(inputs, out, *flags), out, monkeypatch)
    files = tree_of(out)
    forbid_model(monkeypatch)
    assert run(inputs, out, *flags) == ["skipped"] * 2
    assert differing(files, tree_of(out)) == [".job.json"]
    (tmp_path / "names.csv").write_text(NAMES.replace("#00ff00", "#102030"))
    assert run(inputs, out) == ["done"] * 2
    assert run(inputs, out) == ["skipped"] * 2
    monkeypatch.undo()
    run(inputs, at_once, *flags)
    for name in ("color/img0000.png", "binary/red/img0000.png", "masks/img0000.png"):
        assert np.array_equal(read_pixels(out / name), read_pixels(at_once / name))
    changed = [path for path in differing(files, tree_of(out)) if not path.startswith((".job", "masks/"))]
    assert changed == ["color/img0000.png", "color/img0001.png"]


def test_products_that_a_mask_has_been_given_before_are_known_by_their_classes() -> None:
    rows = [[0, 0, "a", [1, 2, 3]], [1, 5, "b", [4, 5, 6]]]
    usual = {"classes": rows, "--confidence": "margin", "--overlay_opacity": 0.5}
    for changed, products in (
        ({"--overlay_opacity": 0.4}, {"overlay"}),
        ({"classes": [rows[0], [1, 5, "b", [4, 5, 7]]]}, {"color", "overlay"}),
        ({"classes": [rows[0], [1, 5, "c", [4, 5, 6]]]}, {"binary"}),
    ):
        one, other = drawing_of(usual), drawing_of(usual | changed)
        assert {product for product in one if one[product] != other[product]} == products


@pytest.mark.parametrize("planes", [False, True])
def test_paths_are_those_that_are_drawn(planes: bool) -> None:
    products = frozenset({"binary", "confidence"} if planes else {"binary", "confidence", "color", "overlay"})
    rendering = Rendering(products, {0: (0, 0, 0), 1: (9, 9, 9)}, ((0, "a"), (1, "a")))
    labels: Labels = made_labels(
        "",
        Source("", ""),
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4), np.uint16),
        image=np.zeros((4, 4, 3), np.uint8),
    )
    if planes:
        labels = made_labels("", Source("", ""), np.zeros((2, 4, 4), bool), np.zeros((2, 4, 4), np.uint16))
    assert sorted(patterns(rendering, planes=planes)) == sorted(render(labels, rendering))
