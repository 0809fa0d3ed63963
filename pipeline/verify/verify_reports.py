"""Reads the reports of a finished output back, and says where they contradict each other or the images."""

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from maskbeam.pipeline.output.ours import report_files
from maskbeam.pipeline.output.stored_json import parse_stored
from maskbeam.pipeline.reports.report_files import ImageRow, classes_csv, image_columns, image_values
from maskbeam.pipeline.reports.summary_file import measured_summary
from maskbeam.pipeline.storage import NotFound, Storage, join
from maskbeam.pipeline.text.csv_text import csv_line, unguard
from maskbeam.pipeline.text.json_text import json_text
from maskbeam.pipeline.verify.verify_image import Checked, Made
from maskbeam.transforms.elements import Source
from maskbeam.transforms.errors import RunError
from maskbeam.transforms.measures.counted import Sums

_HALF = re.compile(r"\\u(d[89a-f][0-9a-f]{2})")
_PLACE = re.compile(r"[0-9a-f]{32}")


class Row(NamedTuple):
    """A line of the images report: id and source as they were before they were made safe, and its cells by column."""

    image_id: str
    source: Source
    cells: dict[str, str]

    @property
    def place(self) -> str:
        """Digest of where the source lies; with --anonymous_ids the report holds nothing else."""
        return _place(self.source.where)


def _place(where: str) -> str:
    return where if _PLACE.fullmatch(where) else Source(where, "").place


def read_json(storage: Storage, root: str, path: str) -> dict[str, Any]:
    """A JSON file of the output.

    Raises:
        RunError: It is missing or damaged.
    """
    try:
        content = parse_stored(storage.read(join(root, path)))
    except NotFound:
        raise RunError(f"{root} holds no {path}: no run has finished there; run the same command again") from None
    except ValueError:
        raise _damaged(join(root, path)) from None
    if not isinstance(content, dict):
        raise _damaged(join(root, path))
    return content


def image_rows(storage: Storage, root: str) -> Iterator[Row]:
    """The rows of the images report, all of its shards."""
    for uri in report_files(storage, root, "images.csv"):
        with io.TextIOWrapper(storage.open(uri), encoding="utf-8", newline="") as text:
            try:
                yield from _rows(text)
            except (csv.Error, IndexError, UnicodeDecodeError):
                raise _damaged(uri) from None


def _rows(text: io.TextIOWrapper) -> Iterator[Row]:
    lines = csv.reader(text)
    columns = next(lines, [])
    for cells in lines:
        image_id, where = (_halves(unguard(cells[i])) for i in (0, 3))
        if len(cells) != len(columns):
            raise IndexError("a line of another number of cells than the header")
        yield Row(image_id, Source(where, ""), dict(zip(columns, cells, strict=True)))


def _damaged(uri: str) -> RunError:
    return RunError(f"{uri} is damaged; run the same command again")


def row_differs(row: Row, checked: Checked, made: Made) -> bool:
    """Whether a row says something else than the image's files."""
    assert checked.counted is not None  # noqa: S101 - the caller asks about images that could be read only
    image = ImageRow(row.image_id, row.source, *checked.size, checked.counted)
    line = csv_line(image_values(image, made.table))
    said = dict(zip(image_columns(made.table), next(csv.reader(io.StringIO(line, newline=""))), strict=True))
    # A report of an older version lacks columns of what was not counted then: they would be empty.
    return [*row.cells] != [c for c in said if c in row.cells] or {**dict.fromkeys(said, ""), **row.cells} != said


class Failed(NamedTuple):
    """A line of the failures report: its code, and the digest of where the source lies."""

    code: str
    place: str


def failures(storage: Storage, root: str) -> Iterator[Failed]:
    """The lines of the failures report, all of its shards."""
    for uri in report_files(storage, root, "failures.jsonl"):
        with storage.open(uri) as lines:
            try:
                for values in map(parse_stored, lines):
                    yield Failed(values["code"], _place(values["where"]))
            except (ValueError, TypeError, KeyError):
                raise _damaged(uri) from None


def failure_codes(storage: Storage, root: str) -> Counter[str]:
    """How many failures of each code the failures report lists."""
    return Counter(failed.code for failed in failures(storage, root))


def compare_reports(
    storage: Storage, root: str, made: Made, success: dict[str, Any] | None, sums: Sums, done: int
) -> Iterator[str]:
    """What the reports say otherwise than the images.

    Args:
        storage: That of the output.
        root: The output folder.
        made: How it was made.
        success: The content of `_SUCCESS`; None where too many images failed.
        sums: Over all images, as their masks say.
        done: The number of rows of the images report.
    """
    summary = read_json(storage, root, "reports/summary.json")
    codes = failure_codes(storage, root)
    yield from _counts("reports/summary.json", summary, done, codes)
    if dict(codes) != summary.get("failures"):
        yield "reports/summary.json and reports/failures.jsonl count failures differently"
    yield from _sums(summary, storage.read(join(root, "reports/classes.csv")).decode(), made, sums)
    if success is None:
        return
    yield from _counts("_SUCCESS", success, done, codes)
    if success.get("settings") != made.settings or success.get("fingerprint") != made.fingerprint:
        yield "_SUCCESS was written with another model or other options than .job.json"


# What is said of a summary that differs from the masks in one of these; an older one may lack what is not `pixels`.
_OF_SUMS = {"pixels": "the pixels of the masks", "images": "what the masks say of their images"}


def _sums(summary: dict[str, Any], classes: str, made: Made, sums: Sums) -> Iterator[str]:
    for name, value in json.loads(json_text(measured_summary(sums))).items():
        if summary.get(name, None if name == "pixels" else value) != value:
            yield f"reports/summary.json differs from {_OF_SUMS.get(name, f'the masks in {name}')}"
    # A report of an older version lacks columns of what was counted of no image then.
    if classes not in (classes_csv(made.table, sums), classes_csv(made.table, sums, sums.measures)):
        yield "reports/classes.csv differs from the pixels of the masks"


def _counts(name: str, counts: dict[str, Any], done: int, codes: Counter[str]) -> Iterator[str]:
    inputs, ends = counts.get("inputs"), [counts.get(key, 0) for key in ("done", "failed", "duplicate")]
    if inputs != sum(ends):
        yield f"{name}: {inputs} inputs are not {' + '.join(map(str, ends))} done, failed and duplicate"
    if ends[0] != done:
        yield f"{name} counts {ends[0]} images done, reports/images.csv lists {done}"
    if ends[1] != codes.total():
        yield f"{name} counts {ends[1]} failures, reports/failures.jsonl lists {codes.total()}"


def _halves(text: str) -> str:
    # Halves of surrogate pairs stand in the CSV file as backslash escapes.
    return _HALF.sub(lambda match: chr(int(match[1], 16)), text)
