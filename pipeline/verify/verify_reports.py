"""Reads the reports of a finished output back, and says where they contradict each other or the images."""

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from maskbeam.pipeline.output.finished import FinishedOutput
from maskbeam.pipeline.output.finished_rows import FinishedImage
from maskbeam.pipeline.reports.report_files import ImageRow, Measures, classes_csv, image_columns, image_values
from maskbeam.pipeline.reports.summary_file import measured_summary
from maskbeam.pipeline.storage import join
from maskbeam.pipeline.text.csv_text import csv_line
from maskbeam.pipeline.text.json_text import json_text
from maskbeam.pipeline.verify.checked import Checked
from maskbeam.transforms.classes.class_table import ClassTable
from maskbeam.transforms.measures.counted import Sums
from maskbeam.transforms.measures.registry import reported


def row_differs(row: FinishedImage, checked: Checked, table: ClassTable, *, on_earth: bool = False) -> bool:
    """True if a row says something else than the image's files."""
    assert checked.counted is not None  # noqa: S101 - the caller asks about images that could be read only
    image = ImageRow(row.image_id, row.source, *checked.size, checked.counted)
    line = csv_line(image_values(image, table, on_earth=on_earth))
    said = dict(
        zip(image_columns(table, on_earth=on_earth), next(csv.reader(io.StringIO(line, newline=""))), strict=True)
    )
    # A report of an older version lacks columns of what was not counted then: they would be empty.
    return [*row.cells] != [c for c in said if c in row.cells] or {**dict.fromkeys(said, ""), **row.cells} != said


def compare_reports(output: FinishedOutput, success: dict[str, Any] | None, sums: Sums, done: int) -> Iterator[str]:
    """The differences between the reports and the images.

    Args:
        output: The output.
        success: The content of `_SUCCESS`; None where too many images failed.
        sums: Over all images, as their masks say.
        done: The number of rows of the images report.
    """
    summary = output.read_json("reports/summary.json")
    codes = Counter(each.code for each in output.failed())
    yield from _counts("reports/summary.json", summary, done, codes)
    if dict(codes) != summary.get("failures"):
        yield "reports/summary.json and reports/failures.jsonl count failures differently"
    classes = output.storage.read(join(output.root, "reports/classes.csv")).decode()
    yield from _sums(summary, classes, output.classes, sums, reported(on_earth=output.is_geotiff))
    if success is None:
        return
    yield from _counts("_SUCCESS", success, done, codes)
    if success.get("settings") != output.settings or success.get("fingerprint") != output.fingerprint:
        yield "_SUCCESS was written with another model or other options than .job.json"


# What is said of a summary that differs from the masks in one of these; an older one may lack what is not `pixels`.
_OF_SUMS = {"pixels": "the pixels of the masks", "images": "what the masks say of their images"}


def _sums(summary: dict[str, Any], classes: str, table: ClassTable, sums: Sums, measures: Measures) -> Iterator[str]:
    for name, value in json.loads(json_text(measured_summary(sums, measures))).items():
        if summary.get(name, None if name == "pixels" else value) != value:
            yield f"reports/summary.json differs from {_OF_SUMS.get(name, f'the masks in {name}')}"
    # A report of an older version lacks columns of what was counted of no image then.
    counted = [measure for measure in measures if measure in sums.measures]
    if classes not in (classes_csv(table, sums, measures), classes_csv(table, sums, counted)):
        yield "reports/classes.csv differs from the pixels of the masks"


def _counts(name: str, counts: dict[str, Any], done: int, codes: Counter[str]) -> Iterator[str]:
    inputs, ends = counts.get("inputs"), [counts.get(key, 0) for key in ("done", "failed", "duplicate")]
    if inputs != sum(ends):
        yield f"{name}: {inputs} inputs are not {' + '.join(map(str, ends))} done, failed and duplicate"
    if ends[0] != done:
        yield f"{name} counts {ends[0]} images done, reports/images.csv lists {done}"
    if ends[1] != codes.total():
        yield f"{name} counts {ends[1]} failures, reports/failures.jsonl lists {codes.total()}"
