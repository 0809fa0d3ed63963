"""The text of the tables under `reports/`: pure functions, byte-identical for the same inputs, model and options.

Ratios are computed here from integer sums and never before, so that no split of the work can change a digit. Floats
have nine significant digits. Texts in CSV files that a spreadsheet would take for a formula have an apostrophe before
them, see `maskbeam.pipeline.text.csv_text`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from maskbeam.pipeline.inputs.anonymous import PLAIN, Names
from maskbeam.pipeline.reports.packed import in_order
from maskbeam.pipeline.text.csv_text import csv_line
from maskbeam.pipeline.text.json_text import json_text
from maskbeam.transforms.classes.class_table import ClassTable, hex_color
from maskbeam.transforms.elements import Failure, Source
from maskbeam.transforms.measures.class_summary import ClassSummary, mean_confidence, summarize
from maskbeam.transforms.measures.statistics import Counted, PixelStatistics

Cell = str | int | float | None

CLASS_COLUMNS = (
    "id",
    "name",
    "color",
    "pixels",
    "share",
    "images",
    "mean_share_where_present",
    "imbalance_ratio",
    "weight_inverse_frequency",
    "weight_median_frequency",
    "weight_effective_number",
)
_IMAGE_COLUMNS = ("id", "width", "height", "source", "mean_confidence", "ignored")


@dataclass(frozen=True)
class ImageRow:
    """What the reports say of one finished image; height and width in pixels."""

    image_id: str
    source: Source
    height: int
    width: int
    statistics: Counted | PixelStatistics


def classes_csv(table: ClassTable, statistics: PixelStatistics) -> str:
    """One row per class, by channel. A class never seen keeps its row, its weights are empty.

    The file can be read back as a class table.
    """
    rows = (class_values(summary) for summary in summarize(table, statistics))
    return csv_line(CLASS_COLUMNS) + "".join(map(csv_line, rows))


def class_values(summary: ClassSummary) -> list[Cell]:
    """One class's cells, in the order of `CLASS_COLUMNS`."""
    info = summary.info
    return [
        info.id,
        info.name,
        hex_color(info.color),
        summary.pixels,
        summary.share,
        summary.images,
        summary.mean_share,
        summary.imbalance,
        summary.inverse_frequency,
        summary.median_frequency,
        summary.effective_number,
    ]


def image_columns(table: ClassTable) -> list[str]:
    """Names of the columns of the images report; those of classes are `pixels_` and the class's name."""
    return [*_IMAGE_COLUMNS, *(f"pixels_{name}" for name in table.names)]


def image_values(row: ImageRow, table: ClassTable, *, names: Names = PLAIN) -> list[Cell]:
    """One image's cells; `names` says what is told of the source."""
    statistics = row.statistics
    source, _ = names.told(row.source)
    pixels = [statistics.pixels.get(i, 0) for i in table.ids]
    return [row.image_id, row.width, row.height, source, mean_confidence(statistics), statistics.ignored, *pixels]


def images_csv(rows: Iterable[ImageRow], table: ClassTable, *, names: Names = PLAIN) -> Iterator[str]:
    """A line for the header and one for each image, sorted by id; all of a report, or one shard of it."""
    lines = ((row.image_id, csv_line(image_values(row, table, names=names))) for row in rows)
    return chain([csv_line(image_columns(table))], (line for _, line in in_order(lines)))


def images_parquet(rows: Iterable[ImageRow], table: ClassTable, *, names: Names = PLAIN) -> bytes:
    """The images report as Parquet; names are as they are, because no spreadsheet takes them for formulas."""
    import pyarrow
    import pyarrow.parquet

    ordered = sorted(rows, key=lambda row: row.image_id)
    values = [image_values(row, table, names=names) for row in ordered]
    texts, floats = {"id", "source"}, {"mean_confidence"}
    arrays = []
    for i, name in enumerate(image_columns(table)):
        kind = pyarrow.string() if name in texts else pyarrow.float64() if name in floats else pyarrow.int64()
        column = [_utf8(cell) if isinstance(cell, str) else cell for cell in (cells[i] for cells in values)]
        arrays.append(pyarrow.array(column, kind))
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.table(arrays, names=image_columns(table)), sink)
    return bytes(sink.getvalue())


def failures_jsonl(failures: Iterable[Failure], *, names: Names = PLAIN) -> str:
    """One JSON object a line: id, where, version, code, reason; sorted by id, then place, version and code."""
    lines = sorted((f.image_id, *names.told(f.source), f.code, f.reason) for f in failures)
    keys = ("id", "where", "version", "code", "reason")
    return "".join(json_text(dict(zip(keys, line, strict=True))) + "\n" for line in lines)


def _utf8(text: str) -> str:
    # Halves of surrogate pairs, which Arrow refuses, become backslash escapes as in the CSV files.
    return text.encode("utf-8", "backslashreplace").decode()
