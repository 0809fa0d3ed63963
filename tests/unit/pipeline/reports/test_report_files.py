"""The tables under reports/, read back with other readers."""

import csv
import io
import json
from dataclasses import replace

import pyarrow.parquet
import pytest

from maskbeam.pipeline.classes.class_files import parse_classes
from maskbeam.pipeline.classes.class_rows import build_table
from maskbeam.pipeline.digests import digest
from maskbeam.pipeline.inputs.anonymous import naming
from maskbeam.pipeline.reports import packed
from maskbeam.pipeline.reports.report_files import ImageRow, classes_csv, failures_jsonl, images_csv, images_parquet
from maskbeam.pipeline.text.csv_text import unguard
from maskbeam.transforms.classes.class_table import ClassTable
from maskbeam.transforms.elements import Failure, Source
from maskbeam.transforms.measures.counted import Sums
from tests.support.report_inputs import BOTH, FIELD, FIRST, NEVER, SECOND, TABLE, WATER, counted_of

ROWS = [
    ImageRow("sub/b", Source("gs://in/sub/b.jpg", "9"), 1, 2, SECOND),
    ImageRow("a", Source("shard#0", "8"), 2, 4, FIRST),
]
ODD = ClassTable((replace(FIELD, name='=cmd|"x"!A1'), replace(WATER, name="id"), replace(NEVER, name="a;b")), "odd")


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def test_classes_csv() -> None:
    assert classes_csv(TABLE, BOTH) == (
        "id,name,color,pixels,share,images,mean_share_where_present,imbalance_ratio,"
        "weight_inverse_frequency,weight_median_frequency,weight_effective_number\n"
        "7,field,#010203,6,0.75,2,0.833333333,1,0.666666667,0.722222222,0.596693131\n"
        "3,water,#040506,2,0.25,1,0.333333333,3,2,1.625,1.40330687\n"
        "0,never,#070809,0,0,0,,,,,\n"
    )


def test_classes_csv_of_no_images_keeps_every_class() -> None:
    rows = read(classes_csv(TABLE, Sums.zero()))
    assert [(row["name"], row["pixels"], row["share"]) for row in rows] == [
        ("field", "0", ""),
        ("water", "0", ""),
        ("never", "0", ""),
    ]


@pytest.mark.parametrize("table", [TABLE, ODD])
def test_classes_csv_is_a_class_table(table: ClassTable) -> None:
    again = build_table(parse_classes(classes_csv(table, BOTH), "classes.csv"), "classes.csv")
    assert again.classes == table.classes


def test_images_csv_is_sorted_by_id() -> None:
    assert "".join(images_csv(ROWS, TABLE)) == (
        "id,width,height,source,mean_confidence,ignored,pixels_field,pixels_water,pixels_never\n"
        "a,4,2,shard#0,0.75,2,4,2,0\n"
        "sub/b,2,1,gs://in/sub/b.jpg,0.5,0,2,0,0\n"
    )
    assert list(images_csv(ROWS[::-1], TABLE)) == list(images_csv(ROWS, TABLE))


def test_rows_are_put_in_order_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "_RUN", 30)
    monkeypatch.setattr(packed, "_BLOCK", 7)
    rows = [(f"id{n * 37 % 101:03}", f"line {n}\n") for n in range(100)]
    taken = 0
    unpacked: list[int] = []
    loosened = packed._loosened

    def count(squeezed: bytes) -> list[tuple[str, str]]:
        unpacked.append(taken)
        return list(loosened(squeezed))

    monkeypatch.setattr(packed, "_loosened", count)
    for taken, row in enumerate(packed.in_order(rows), 1):
        assert row == sorted(rows)[taken - 1]
    assert taken == 100
    # The first block of each of four runs; the others when they are needed.
    assert unpacked.count(0) == 4 < len(unpacked)


def test_images_csv_without_probabilities_has_no_confidence() -> None:
    (row,) = read("".join(images_csv([replace(ROWS[0], counted=counted_of([[7, 7]]))], TABLE)))
    assert row["mean_confidence"] == ""


def test_names_become_neither_formulas_nor_other_columns() -> None:
    row = replace(ROWS[0], image_id='=1+1,\n"x"', source=Source("@SUM(A1)", "1"))
    text = "".join(images_csv([row], ODD))
    header, cells = csv.reader(io.StringIO(text, newline=""), strict=True)
    assert header[-3:] == ['pixels_=cmd|"x"!A1', "pixels_id", "pixels_a;b"]
    assert len(set(header)) == len(header) == len(cells)
    assert cells[0] == '\'=1+1,\n"x"'
    assert unguard(cells[0]) == row.image_id
    assert cells[3] == "'@SUM(A1)"


def test_anonymous_reports_hold_nothing_that_names_could_be_tried_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASKBEAM_ID_KEY", "secret")
    names, source = naming(anonymous=True), Source("/patients/miller.png", "34171-1616161616161616161")
    failure = names.named(Failure("x", source, "UNREADABLE", "no image"))
    row = replace(ROWS[0], source=failure.source)
    for text in ("".join(images_csv([row], TABLE, names=names)), failures_jsonl([failure], names=names)):
        assert failure.source.place in text
        for told in ("miller", source.version, source.place, digest(source.version)):
            assert told not in text


def test_images_parquet_holds_the_same() -> None:
    table = pyarrow.parquet.read_table(pyarrow.BufferReader(images_parquet(ROWS, TABLE)))
    assert [{k: str(v) for k, v in row.items()} for row in table.to_pylist()] == read(
        "".join(images_csv(ROWS, TABLE))
    )
    assert images_parquet(ROWS, TABLE) == images_parquet(ROWS[::-1], TABLE)


def test_images_parquet_takes_names_that_are_no_text() -> None:
    row = replace(ROWS[0], image_id="a\udcff", source=Source("/in/a\udcff", "1"))
    table = pyarrow.parquet.read_table(pyarrow.BufferReader(images_parquet([row], TABLE)))
    assert table["id"].to_pylist() == ["a\\udcff"]


def test_failures_jsonl_is_sorted_and_one_object_a_line() -> None:
    failures = [
        Failure("b", Source("in/b.png", "2"), "UNREADABLE", "not an image"),
        Failure("", Source("shard#77", "c"), "DAMAGED_RECORD", "checksum"),
        Failure("b", Source("in/b.jpg", "1"), "DUPLICATE_ID", 'another "b"\nkeeps it'),
    ]
    text = failures_jsonl(failures)
    assert failures_jsonl(failures[::-1]) == text
    lines = text.splitlines()
    assert (
        lines[0] == '{"id": "", "where": "shard#77", "version": "c", "code": "DAMAGED_RECORD", "reason": "checksum"}'
    )
    assert [json.loads(line)["where"] for line in lines] == ["shard#77", "in/b.jpg", "in/b.png"]
    assert text.endswith("\n")


def test_failures_jsonl_gives_back_any_name() -> None:
    name = "a\udcff\u2028\n\x00\u00e9<script>"
    text = failures_jsonl([Failure(name, Source("w", "v"), "UNREADABLE", "r")])
    assert text.count("\n") == 1
    assert json.loads(text.encode())["id"] == name


def test_no_failures_give_an_empty_file() -> None:
    assert failures_jsonl([]) == ""
