"""A finished output is read as it was written; Pillow and the files' own names are the oracles."""

from pathlib import Path

import numpy as np
import pytest

from maskbeam.pipeline.output.finished import FinishedOutput
from maskbeam.transforms.errors import RunError
from tests.support.numpy_engine import command, run_numpy
from tests.support.plain_script import read_pixels
from tests.support.trees import draw_folder


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    inputs = draw_folder(folder / "in", 3)
    (inputs / "broken.png").write_bytes(b"nothing")
    flags = ("--products", "color,binary", "--max_failures", "50%")
    assert run_numpy(command(str(inputs), str(folder / "out"), *flags)) == 0
    return folder / "out"


def test_its_images_masks_products_and_failures(out: Path) -> None:
    found = FinishedOutput.open(str(out))
    ids = [row.image_id for row in found.images()]
    assert ids == ["img0000", "img0001", "img0002"]
    for image_id in ids:
        mask = read_pixels(out / f"masks/{image_id}.png")
        assert np.array_equal(found.mask(image_id), mask)
        drawn = found.drawn(image_id)
        assert set(drawn) == {
            str(p.relative_to(out)) for k in ("color", "binary") for p in (out / k).rglob(f"{image_id}.*")
        }
        assert np.array_equal(drawn[f"color/{image_id}.png"], mask)
        record = found.record(image_id)
        assert (record.height, record.width) == mask.shape
        assert record.claim.fingerprint == found.fingerprint
    assert [failed.code for failed in found.failed()] == ["UNREADABLE"]
    assert (found.classes.ids, found.planes, found.products, found.is_success) == (
        (0, 1, 2),
        False,
        frozenset({"color", "binary"}),
        True,
    )
    assert all(row.place == found.record(row.image_id).claim.place for row in found.images())


def test_what_is_not_there_is_told(out: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no run has finished there"):
        FinishedOutput.open(str(tmp_path))
    with pytest.raises(RunError, match=r"masks/no%20such.png is missing|masks/no such.png is missing"):
        FinishedOutput.open(str(out)).mask("no such")


def test_damaged_files_are_told(out: Path, tmp_path: Path) -> None:
    found = FinishedOutput.open(str(out))
    mask = out / "masks/img0000.png"
    whole = mask.read_bytes()
    try:
        mask.write_bytes(whole[:-20])
        with pytest.raises(RunError, match=r"img0000\.png is damaged"):
            found.mask("img0000")
        mask.write_bytes(b"\x89PNG")
        with pytest.raises(RunError, match=r"img0000\.png is damaged"):
            found.record("img0000")
    finally:
        mask.write_bytes(whole)
