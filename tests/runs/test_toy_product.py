"""A product of one's own is one file and one line: nothing else has to know it."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from maskbeam.pipeline.commands.clean import clean
from maskbeam.pipeline.commands.merge import merge
from maskbeam.pipeline.main import main
from maskbeam.pipeline.run import run
from maskbeam.pipeline.verify.verify import verify
from maskbeam.transforms.products import registry
from tests.support.numpy_engine import command, numpy_loader, numpy_probe, run_numpy
from tests.support.plain_script import read_pixels
from tests.support.toy_product import edges
from tests.support.trees import draw_folder, tree_of


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.MODULES, "edges", "tests.support.toy_product")


def test_it_is_drawn_by_a_run_drawn_later_from_masks_checked_and_cleaned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inputs, out = draw_folder(tmp_path / "in", 3), tmp_path / "out"
    assert run_numpy(command(str(inputs), str(out), "--products", "color")) == 0
    assert run_numpy(command(str(inputs), str(out), "--products", "color,edges")) == 0
    for mask in (out / "masks").iterdir():
        assert np.array_equal(read_pixels(out / "edges" / mask.name), edges(read_pixels(mask)) * 255)
    before = tree_of(out)
    assert run_numpy(command(str(inputs), str(out), "--products", "color,edges")) == 0
    assert {name: data for name, data in tree_of(out).items() if name.startswith("edges/")} == {
        name: data for name, data in before.items() if name.startswith("edges/")
    }
    assert verify(str(out)) == 0
    mixed = out / "edges/img0000.png"
    whole = mixed.read_bytes()
    mixed.write_bytes(whole[:-1])
    assert verify(str(out)) == 1
    assert "edges/img0000.png has" in capsys.readouterr().out
    mixed.write_bytes(whole)
    (inputs / "img0001.png").unlink()
    assert run_numpy(command(str(inputs), str(out), "--products", "color,edges")) == 0
    assert clean(str(out), yes=True) == 0
    assert sorted(path.name for path in (out / "edges").iterdir()) == ["img0000.png", "img0002.png"]


def test_parts_and_overwriting_know_it_and_so_does_the_help(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inputs, out = draw_folder(tmp_path / "in", 4), tmp_path / "out"
    for part in ("1/2", "2/2"):
        assert run_numpy(command(str(inputs), str(out), "--products", "all", "--part", part)) == 0
    assert merge(str(out), None, run=partial(run, find_probe=numpy_probe, make_loader=numpy_loader)) == 0
    assert len(list((out / "edges").iterdir())) == 4
    assert verify(str(out)) == 0
    assert (
        run_numpy(command(str(inputs), str(out), "--products", "color", "--background", "9,9,9", "--overwrite")) == 0
    )
    assert verify(str(out)) == 0
    capsys.readouterr()
    assert main(["run", "--help", "all"]) == 0
    assert "color,binary,overlay,confidence,edges" in " ".join(capsys.readouterr().out.split())
