"""Class files that are lines of text: CVAT's `labelmap.txt`, CSV, and a plain list of names."""

import csv
import io
import re

from pipeline.classes.class_rows import Row, Rows, parse_color, parse_id
from pipeline.reports.csv_text import unguard
from transforms.errors import RunError
from transforms.palettes import Color

_LABELMAP_LINE = re.compile(r"(.*):([\d\s,]*):([^:]*):([^:]*)")
# What people call the columns of a class table, in lower case.
_COLUMNS = {
    "channel": {"channel", "index", "idx", "train_id", "trainid"},
    "id": {"id", "label_id", "class_id", "value", "pixel", "pixel_value"},
    "name": {"name", "label", "class", "class_name", "label_name"},
    "color": {"color", "colour", "color_rgb", "hex", "rgb"},
    "red": {"r", "red"},
    "green": {"g", "green"},
    "blue": {"b", "blue"},
}


def is_labelmap(text: str) -> bool:
    """Whether this is a `labelmap.txt`: `label:color_rgb:parts:actions` on every line that is no comment."""
    lines = [line for line in _lines(text) if line.strip() and not line.startswith("#")]
    return bool(lines) and all(_LABELMAP_LINE.fullmatch(line) for line in lines)


def read_labelmap(text: str, source: str) -> Rows:
    """CVAT's and Datumaro's `labelmap.txt`; a mask's pixel is the line's place, as in CVAT's own exports."""
    rows = []
    for number, line in enumerate(_lines(text), 1):
        if line.strip() and not line.startswith("#"):
            name, color = line.rsplit(":", 3)[:2]
            place = f"{source}, line {number}"
            rows.append(
                Row(name.strip(), f"line {number}", color=parse_color(color, place) if color.strip() else None)
            )
    return Rows("CVAT label map", tuple(rows))


def read_names(text: str, source: str) -> Rows:
    """One name a line, nothing else.

    Raises:
        RunError: An empty line among the names, or every line begins with a number.
    """
    lines = _lines(text.rstrip())
    if len(lines) > 1 and all(re.match(r"\s*\d+[\s,:;]", line) for line in lines):
        raise RunError(
            f"{source}, line 1: {lines[0][:40]!r} begins with a number, as all lines do; for a table with ids put "
            "the header `id,name` above it and commas between"
        )
    for number, line in enumerate(lines, 1):
        if not line.strip():
            raise RunError(
                f"{source}, line {number}: the line is empty, so it is not clear which class it stands for"
            )
    return Rows("list of names", tuple(Row(line.strip(), f"line {i}") for i, line in enumerate(lines, 1)))


def is_csv(text: str) -> bool:
    """Whether the first line is a header of several columns, one of them the name's."""
    header = _header(text)
    return len(header) > 1 and "name" in {_column(cell) for cell in header}


def read_csv(text: str, source: str) -> Rows:
    """A table with a header: `name`, and any of `channel`, `id`, `color` (or `r`, `g`, `b`), in any order.

    Commas, semicolons or tabs. Colours are `#rrggbb` or `r,g,b`. Other columns are left alone, so that `classes.csv`
    of an output can be read back.

    Raises:
        RunError: Names the line and the value.
    """
    columns = _columns(_header(text), source)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    next(reader)
    rows = []
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                rows.append(_csv_row(cells, columns, source, reader.line_num))
    except csv.Error as error:
        raise RunError(f"{source}, line {reader.line_num}: not CSV ({error})") from error
    return Rows("CSV table", tuple(rows))


def _columns(header: list[str], source: str) -> dict[str, int]:
    columns: dict[str, int] = {}
    for i, cell in enumerate(header):
        column = _column(cell)
        if column in columns:
            raise RunError(
                f"{source}, line 1: {header[columns[column]]!r} and {cell!r} both give the {column}; keep one"
            )
        if column:
            columns[column] = i
    if "name" not in columns:
        raise RunError(
            f"{source}, line 1: no column `name` among {header[:10]}; the first line must be a header such as "
            "`channel,id,name,color`"
        )
    return columns


def _csv_row(cells: list[str], columns: dict[str, int], source: str, line: int) -> Row:
    where = f"line {line}"
    place = f"{source}, {where}"
    if len(cells) <= max(columns.values()):
        raise RunError(f"{place}: {len(cells)} cells, fewer than the header has; quote names that hold the separator")
    cell = {column: cells[i].strip() for column, i in columns.items()}
    name = cells[columns["name"]]
    return Row(
        unguard(name).strip(),
        where,
        channel=parse_id(cell["channel"], "channel", place) if cell.get("channel") else None,
        id=parse_id(cell["id"], "id", place) if cell.get("id") else None,
        color=_csv_color(cell, place),
    )


def _csv_color(cell: dict[str, str], place: str) -> Color | None:
    parts = [cell[c] for c in ("red", "green", "blue") if cell.get(c)]
    text = cell.get("color") or ",".join(parts)
    return parse_color(text, place) if text else None


def _header(text: str) -> list[str]:
    return next(csv.reader(_lines(text)[:1], delimiter=_delimiter(text)), [])


def _delimiter(text: str) -> str:
    return max(",;\t", key=_lines(text)[0].count)


def _lines(text: str) -> list[str]:
    # Not splitlines(), which also splits at characters that names may hold.
    return re.split(r"\r\n|\n|\r", text)


def _column(cell: str) -> str:
    folded = re.sub(r"[\s-]+", "_", cell.strip().lower())
    return next((column for column, names in _COLUMNS.items() if folded in names), "")
