"""All that is hostile in one folder, through the whole graph: each input ends as it should, its neighbours too."""

import csv
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from maskbeam.pipeline.inputs.ids import encode_id
from maskbeam.pipeline.text.csv_text import unguard
from maskbeam.pipeline.verify.verify import verify
from maskbeam.transforms.codecs.encode import decode_mask
from tests.support import numpy_engine
from tests.support.hostile_inputs import MARK, poisoned, write_hostile
from tests.support.numpy_engine import command, run_numpy
from tests.support.trees import differing, draw, draw_folder, pixels, save, tree_of


class Ended(NamedTuple):
    """What became of the hostile folder."""

    folder: Path
    failures: list[dict[str, Any]]
    codes: dict[str, str]
    of_records: dict[str, int]
    done: set[str]
    said: str


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "in").mkdir()
    codes, of_records, done = write_hostile(folder / "in")
    flags = (
        "--products",
        "all",
        "--max_failures",
        "100%",
        "--stop_after_failures",
        "9999",
        "--id_root",
        str(folder / "in"),
    )
    argv = [
        sys.executable,
        "-m",
        "tests.support.numpy_engine",
        *command(str(folder / "in"), str(folder / "out"), *flags),
    ]
    run = subprocess.run(
        argv, capture_output=True, check=False, timeout=240, env=os.environ | {"MASKBEAM_DEBUG": "1"}
    )
    said = (run.stdout + run.stderr).decode()
    assert run.returncode == 0, said[-3000:]
    failures = [json.loads(line) for line in (folder / "out/reports/failures.jsonl").read_text().splitlines()]
    return Ended(folder, failures, codes, of_records, done, said)


def rows(out: Path) -> list[str]:
    with (out / "reports/images.csv").open(newline="") as text:
        return [unguard(cells[0]) for cells in list(csv.reader(text))[1:]]


def test_each_file_fails_with_its_own_code(ended: Ended) -> None:
    found = {failure["id"]: failure["code"] for failure in ended.failures}
    # Files of one stem and two extensions share an id, so that the cut PNG's and JPEG's failures are one each.
    wrong = {name: (code, found.get(name)) for name, code in ended.codes.items() if found.get(name) != code}
    assert wrong == {}


def test_records_fail_once_each_and_everything_else_is_done(ended: Ended) -> None:
    counted = Counter(failure["code"] for failure in ended.failures if ".tfrecord" in failure["where"])
    assert counted == ended.of_records
    assert sorted(set(rows(ended.folder / "out")) ^ ended.done) == []


def test_every_input_came_to_one_end(ended: Ended) -> None:
    success = json.loads((ended.folder / "out/_SUCCESS").read_text())
    assert success["inputs"] == success["done"] + success["failed"] + success["duplicate"]
    assert success["done"] == len(ended.done)


def test_the_output_verifies(ended: Ended, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(str(ended.folder / "out")) == 0, capsys.readouterr().out[:3000]


def test_neighbours_are_what_they_are_without_the_hostile_ones(ended: Ended) -> None:
    for path in sorted((ended.folder / "in").glob(f"{MARK}-good*.png")):
        mask = decode_mask((ended.folder / "out/masks" / path.name).read_bytes())
        number = int(path.stem[-2:])
        assert (mask == pixels(number).argmax(-1)).all(), path.name


def test_nothing_is_written_outside_the_output(ended: Ended) -> None:
    assert sorted(path.name for path in ended.folder.iterdir()) == ["in", "out"]
    assert not list(ended.folder.parent.glob("escaped*"))
    for folder in ("masks", "color", "overlay", "confidence"):
        assert {encode_id(name) for name in ended.done} == {
            str(path.relative_to(ended.folder / "out" / folder).with_suffix(""))
            for path in (ended.folder / "out" / folder).rglob("*")
            if path.is_file()
        }


def test_no_image_is_named_in_what_the_run_says(ended: Ended) -> None:
    assert [line for line in ended.said.splitlines() if MARK in line] == []


def test_no_reason_holds_a_name_or_content(ended: Ended) -> None:
    assert [failure for failure in ended.failures if MARK in failure["reason"]] == []


def test_no_mask_holds_a_path(ended: Ended) -> None:
    leaks = [
        p for p in (ended.folder / "out").rglob("*.png") if MARK.encode() in p.read_bytes().split(b"products")[0]
    ]
    assert leaks == []
    assert not [p for p in (ended.folder / "out").rglob("*.png") if str(ended.folder).encode() in p.read_bytes()]


def test_spreadsheets_see_no_formula(ended: Ended) -> None:
    text = (ended.folder / "out/reports/images.csv").read_text()
    assert "'=HYPERLINK" in text
    assert not [line for line in text.splitlines() if line.lstrip('"').startswith(("=", "-", "+", "@"))]


def test_a_rerun_changes_nothing(ended: Ended) -> None:
    before = tree_of(ended.folder / "out")
    flags = (
        "--products",
        "all",
        "--max_failures",
        "100%",
        "--stop_after_failures",
        "9999",
        "--id_root",
        str(ended.folder / "in"),
    )
    assert run_numpy(command(str(ended.folder / "in"), str(ended.folder / "out"), *flags)) == 0
    assert differing(before, tree_of(ended.folder / "out")) == []


def test_one_poison_image_in_a_batch_of_64_changes_no_other_mask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numpy_engine, "BATCH", 64)
    inputs = draw_folder(tmp_path / "in", 63)
    assert run_numpy(command(str(inputs), str(tmp_path / "without"))) == 0
    save(inputs / "img0031b.png", poisoned(numpy_engine.RAISES))
    assert run_numpy(command(str(inputs), str(tmp_path / "with"), "--max_failures", "1")) == 0
    assert differing(tree_of(tmp_path / "with/masks"), tree_of(tmp_path / "without/masks")) == []


def test_nan_pixels_can_be_ignored_instead(tmp_path: Path) -> None:
    save(tmp_path / "in/a.png", poisoned(numpy_engine.NAN))
    out = tmp_path / "out"
    assert run_numpy(command(str(tmp_path / "in"), str(out), "--nonfinite", "ignore")) == 0
    mask = decode_mask((out / "masks/a.png").read_bytes())
    assert mask[1, 1] == 255
    assert np.count_nonzero(mask == 255) == 1
    summary = json.loads((out / "reports/summary.json").read_text())
    assert summary["pixels"]["nonfinite_model_pixels"] == 1


@pytest.mark.parametrize(("allowed", "code"), [("1", 3), ("2", 0), ("20%", 3), ("40%", 0)])
def test_too_many_failures_end_in_3_with_all_else_done(tmp_path: Path, allowed: str, code: int) -> None:
    draw_folder(tmp_path / "in", 4)
    for name in ("x.png", "y.png"):
        (tmp_path / "in" / name).write_bytes(b"")
    out = tmp_path / "out"
    assert run_numpy(command(str(tmp_path / "in"), str(out), "--max_failures", allowed)) == code
    assert len(list((out / "masks").iterdir())) == 4
    assert (out / "_SUCCESS").exists() == (code == 0)
    assert len((out / "reports/failures.jsonl").read_text().splitlines()) == 2


def test_a_run_that_goes_wrong_from_the_start_stops_early(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(30):
        draw(tmp_path / f"in/{MARK}{number}.png", number).write_bytes(b"<html>")
    out = tmp_path / "out"
    assert run_numpy(command(str(tmp_path / "in"), str(out), "--stop_after_failures", "5")) == 3
    said = capsys.readouterr().err
    assert "of the first" in said
    assert "UNREADABLE" in said
    assert MARK not in said
    assert not (out / "_SUCCESS").exists()


def test_a_manifest_cannot_write_outside_the_output(tmp_path: Path) -> None:
    image = draw(tmp_path / "in/a.png", 1)
    lines = "uri,id\n" + "".join(f'"{image}","{name}"\n' for name in ("../../x", "/abs", "C:\\y", "..", "a/../../z"))
    (tmp_path / "list.csv").write_text(lines)
    assert run_numpy(command(str(tmp_path / "list.csv"), str(tmp_path / "deep/out"))) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep", "in", "list.csv"]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["out"]
    assert sorted(rows(tmp_path / "deep/out")) == sorted(["../../x", "/abs", "C:\\y", "..", "a/../../z"])
