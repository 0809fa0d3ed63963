"""The text of the tables under `reports/`: pure functions, byte-identical for the same inputs, model and options.

Ratios are computed here from integer sums and never before, so that no split of the work can change a digit. Floats
have nine significant digits. Texts in CSV files that a spreadsheet would take for a formula have an apostrophe before
them, see `maskbeam.pipeline.text.csv_text`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from maskbeam.pipeline.inputs.anonymous import PLAIN, Names
from maskbeam.pipeline.reports.packed import in_order
from maskbeam.pipeline.text.csv_text import csv_line
from maskbeam.pipeline.text.json_text import json_text
from maskbeam.transforms.classes.class_table import ClassTable, hex_color
from maskbeam.transforms.elements import Failure, Source
from maskbeam.transforms.measures.counted import Counted, Sums
from maskbeam.transforms.measures.measure import Cell, Measure
from maskbeam.transforms.measures.registry import MEASURES, reported

Measures = Sequence[Measure[Any, Any]]
_OF_CLASSES = ("id", "name", "color")
_OF_IMAGES: dict[str, type] = {"id": str, "width": int, "height": int, "source": str}


@dataclass(frozen=True)
class ImageRow:
    """One finished image as the reports show it; height and width in pixels, `grid` as `output/grids.py` has it."""

    image_id: str
    source: Source
    height: int
    width: int
    counted: Counted
    grid: Mapping[str, Any] = field(default_factory=dict)


def class_columns(measures: Measures | None = None) -> list[str]:
    """Names of the columns of the classes report; None: of all measures of plain pictures."""
    return [*_OF_CLASSES, *(column for measure in _measures(measures) for column in measure.class_columns)]


def class_values(table: ClassTable, sums: Sums, measures: Measures | None = None) -> list[list[Cell]]:
    """Cells of each class, by channel, in the order of `class_columns`."""
    own: list[list[Cell]] = [[info.id, info.name, hex_color(info.color)] for info in table.classes]
    measured = [measure.class_values(sums[measure], table) for measure in _measures(measures)]
    return [list(chain.from_iterable(cells)) for cells in zip(own, *measured, strict=True)]


def classes_csv(table: ClassTable, sums: Sums, measures: Measures | None = None) -> str:
    """One row per class, by channel. A class never seen keeps its row, its weights are empty.

    The file can be read back as a class table.
    """
    return csv_line(class_columns(measures)) + "".join(map(csv_line, class_values(table, sums, measures)))


def image_columns(table: ClassTable, *, on_earth: bool = False) -> dict[str, type]:
    """Names of the columns of the images report, and what their cells are."""
    measured = chain.from_iterable(each.image_columns(table).items() for each in reported(on_earth=on_earth))
    return _OF_IMAGES | dict(measured)


def image_values(row: ImageRow, table: ClassTable, *, names: Names = PLAIN, on_earth: bool = False) -> list[Cell]:
    """One image's cells; `names` says what is told of the source. Those of what was not counted of it are empty."""
    source, _ = names.told(row.source)
    cells: list[Cell] = [row.image_id, row.width, row.height, source]
    for measure, count in zip(MEASURES, row.counted.values, strict=True):
        if measure.on_earth and not on_earth:
            continue
        cells += [None] * len(measure.image_columns(table)) if count is None else measure.image_values(count, table)
    return cells


def images_csv(
    rows: Iterable[ImageRow], table: ClassTable, *, names: Names = PLAIN, on_earth: bool = False
) -> Iterator[str]:
    """A line for the header and one for each image, sorted by id; all of a report, or one shard of it."""
    lines = ((row.image_id, csv_line(image_values(row, table, names=names, on_earth=on_earth))) for row in rows)
    return chain([csv_line(image_columns(table, on_earth=on_earth))], (line for _, line in in_order(lines)))


def images_parquet(
    rows: Iterable[ImageRow], table: ClassTable, *, names: Names = PLAIN, on_earth: bool = False
) -> bytes:
    """The images report as Parquet; names are as they are, because no spreadsheet takes them for formulas."""
    import pyarrow
    import pyarrow.parquet

    ordered = sorted(rows, key=lambda row: row.image_id)
    values = [image_values(row, table, names=names, on_earth=on_earth) for row in ordered]
    columns = image_columns(table, on_earth=on_earth)
    kinds = {str: pyarrow.string(), float: pyarrow.float64(), int: pyarrow.int64()}
    arrays = []
    for i, kind in enumerate(columns.values()):
        column = [_utf8(cell) if isinstance(cell, str) else cell for cell in (cells[i] for cells in values)]
        arrays.append(pyarrow.array(column, kinds[kind]))
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.table(arrays, names=list(columns)), sink)
    return bytes(sink.getvalue())


def failures_jsonl(failures: Iterable[Failure], *, names: Names = PLAIN) -> str:
    """One JSON object a line: id, where, version, code, reason; sorted by id, then place, version and code."""
    lines = sorted((f.image_id, *names.told(f.source), f.code, f.reason) for f in failures)
    keys = ("id", "where", "version", "code", "reason")
    return "".join(json_text(dict(zip(keys, line, strict=True))) + "\n" for line in lines)


def _utf8(text: str) -> str:
    # Halves of surrogate pairs, which Arrow refuses, become backslash escapes as in the CSV files.
    return text.encode("utf-8", "backslashreplace").decode()


def _measures(chosen: Measures | None) -> Measures:
    return reported(on_earth=False) if chosen is None else chosen
