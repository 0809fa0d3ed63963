"""A measure is one object: registered, it is counted in every run and is in all reports, and nothing else changes."""

import csv
import json
import shutil
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet
import pytest

from maskbeam.pipeline.commands.merge import merge
from maskbeam.pipeline.run import run
from maskbeam.pipeline.verify.verify import verify
from maskbeam.transforms.classes.class_table import ClassTable
from maskbeam.transforms.codecs.encode import decode_mask
from maskbeam.transforms.elements import Labels
from maskbeam.transforms.measures.measure import Cell, Measure, least
from maskbeam.transforms.measures.registry import MEASURES
from tests.support.numpy_engine import command, numpy_loader, numpy_probe, run_numpy
from tests.support.trees import differing, draw_folder, tree_of

LISTED = 2


class Odd(NamedTuple):
    """Pixels in odd columns of odd rows, by class."""

    by_class: dict[int, int] = {}  # noqa: RUF012
    seen: int = 0


class OddSums(NamedTuple):
    by_class: dict[int, int] = {}  # noqa: RUF012
    fewest: tuple[tuple[int, str], ...] = ()


class OddPixels(Measure[Odd, OddSums]):
    name = "odd"
    kind = Odd
    class_columns = ("odd_pixels",)
    definitions = {"odd_pixels": "pixels in odd columns of odd rows"}  # noqa: RUF012

    def of(self, labels: Labels, ids: Sequence[int]) -> Odd:
        found = labels.pixels[1::2, 1::2]
        return Odd({i: int((found == i).sum()) for i in ids if (found == i).any()}, found.size)

    def sum(self, images: Sequence[tuple[str, Odd]]) -> OddSums:
        by_class: dict[int, int] = {}
        for _, count in images:
            for i, number in count.by_class.items():
                by_class[i] = by_class.get(i, 0) + number
        return OddSums(by_class, least([(count.seen, image_id) for image_id, count in images], LISTED))

    def add(self, one: OddSums, other: OddSums) -> OddSums:
        both = {i: one.by_class.get(i, 0) + other.by_class.get(i, 0) for i in {**one.by_class, **other.by_class}}
        return OddSums(both, least([*one.fewest, *other.fewest], LISTED))

    def to_json(self, sums: OddSums) -> dict[str, Any]:
        return {"odd": [{str(i): n for i, n in sums.by_class.items()}, sums.fewest]}

    def from_json(self, values: Any) -> OddSums:
        by_class, fewest = values["odd"]
        return OddSums({int(i): n for i, n in by_class.items()}, tuple((n, image_id) for n, image_id in fewest))

    def image_columns(self, table: ClassTable) -> dict[str, type]:
        return {"odd_seen": int, "odd_share_of_most": float}

    def image_values(self, count: Odd, table: ClassTable) -> list[Cell]:
        return [count.seen, max(count.by_class.values(), default=0) / count.seen if count.seen else None]

    def class_values(self, sums: OddSums, table: ClassTable) -> list[list[Cell]]:
        return [[sums.by_class.get(i, 0)] for i in table.ids]

    def summary(self, sums: OddSums) -> dict[str, Any]:
        return {"fewest_odd": [image_id for _, image_id in sums.fewest]}


@pytest.fixture
def inputs(tmp_path: Path) -> str:
    draw_folder(tmp_path / "in", 6)
    return str(tmp_path / "in")


@pytest.fixture
def toy() -> Iterator[OddPixels]:
    MEASURES.append(found := OddPixels())
    yield found
    MEASURES.remove(found)


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def masks_of(out: Path) -> dict[str, Any]:
    return {path.stem: decode_mask(path.read_bytes())[1::2, 1::2] for path in (out / "masks").iterdir()}


def last_run(out: Path) -> dict[str, Any]:
    # Two runs may begin in one second, and are called by chance then.
    newest = max((out / "runs").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    return dict(json.loads(newest.read_bytes()))


def edit(path: Path, column: str) -> None:
    """Makes the last cell of a column another one."""
    rows = rows_of(path)
    rows[-1][column] = str(int(float(rows[-1][column])) + 1)
    lines = [",".join(rows[0]), *(",".join(row.values()) for row in rows)]
    path.write_text("".join(line + "\n" for line in lines))


def test_it_is_in_all_reports_and_verified(inputs: str, tmp_path: Path, toy: OddPixels) -> None:
    out = tmp_path / "out"
    assert run_numpy(command(inputs, str(out), "--parquet")) == 0
    masks = masks_of(out)
    rows = {row["id"]: row for row in rows_of(out / "reports/images.csv")}
    assert {name: int(row["odd_seen"]) for name, row in rows.items()} == {n: m.size for n, m in masks.items()}
    for name, mask in masks.items():
        assert float(rows[name]["odd_share_of_most"]) == pytest.approx(np.bincount(mask.ravel()).max() / mask.size)
    everything = np.concatenate([mask.ravel() for mask in masks.values()])
    classes = rows_of(out / "reports/classes.csv")
    assert [int(row["odd_pixels"]) for row in classes] == [int((everything == i).sum()) for i in range(3)]
    parquet = pyarrow.parquet.read_table(out / "reports/images.parquet")
    assert parquet["odd_seen"].to_pylist() == [masks[name].size for name in parquet["id"].to_pylist()]
    summary = json.loads((out / "reports/summary.json").read_bytes())
    assert summary["fewest_odd"] == [name for _, name in sorted((m.size, n) for n, m in masks.items())[:LISTED]]
    assert [each["odd_pixels"] for each in summary["classes"]] == [int(row["odd_pixels"]) for row in classes]
    assert summary["definitions"]["odd_pixels"] == toy.definitions["odd_pixels"]
    assert verify(str(out)) == 0
    assert run_numpy(command(inputs, str(out), "--parquet")) == 0
    assert (last_run(out)["written"], last_run(out)["skipped"]) == (0, 6)


@pytest.mark.parametrize(
    ("report", "column", "said"),
    [
        ("images.csv", "odd_seen", "reports/images.csv says something else"),
        ("classes.csv", "odd_pixels", "reports/classes.csv differs"),
    ],
)
def test_a_cell_of_it_that_is_changed_is_found(
    inputs: str,
    tmp_path: Path,
    toy: OddPixels,
    report: str,
    column: str,
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    assert run_numpy(command(inputs, str(out))) == 0
    edit(out / "reports" / report, column)
    assert verify(str(out)) == 1
    assert said in capsys.readouterr().out


def test_a_list_of_it_that_is_changed_is_found(
    inputs: str, tmp_path: Path, toy: OddPixels, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run_numpy(command(inputs, str(out))) == 0
    path = out / "reports/summary.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "fewest_odd": []}))
    assert verify(str(out)) == 1
    assert "summary.json differs from the masks in fewest_odd" in capsys.readouterr().out


def test_parts_and_a_merge_give_what_one_run_gives(inputs: str, tmp_path: Path, toy: OddPixels) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert run_numpy(command(inputs, str(whole))) == 0
    for part in ("1/2", "2/2"):
        assert run_numpy(command(inputs, str(out), "--part", part)) == 0
    assert merge(str(out), None, run=partial(run, find_probe=numpy_probe, make_loader=numpy_loader)) == 0
    assert not differing(tree_of(whole), tree_of(out))
    assert verify(str(out)) == 0


def test_an_output_of_the_version_before_it_is_read_as_it_is(
    inputs: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    assert run_numpy(command(inputs, str(old))) == 0
    shutil.copytree(old, new)
    MEASURES.append(toy := OddPixels())
    try:
        assert verify(str(old)) == 0
        assert run_numpy(command(inputs, str(new))) == 0
        assert last_run(new)["written"] == 0
        assert {row["odd_seen"] for row in rows_of(new / "reports/images.csv")} == {""}
        assert verify(str(new)) == 0
    finally:
        MEASURES.remove(toy)
    assert not differing(tree_of(old / "masks"), tree_of(new / "masks"))
