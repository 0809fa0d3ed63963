"""Class tables in CSV: a header, then a class a line."""

import csv
import io
import re
from collections.abc import Iterator

from maskbeam.pipeline.classes.class_columns import find_roles, make_rows, role_of
from maskbeam.pipeline.classes.class_rows import Rows
from maskbeam.pipeline.classes.class_text import comment_lines, lines_of
from maskbeam.pipeline.text.csv_text import unguard
from maskbeam.transforms.errors import RunError


def is_csv(text: str) -> bool:
    """True if the first line that is no comment is a header of several columns, one of them the name's."""
    header = _header(text)
    return len(header) > 1 and "name" in map(role_of, header)


def read_csv(text: str, source: str) -> Rows:
    """A table with a header: `name`, and any of `channel`, `id`, `color` (or `r`, `g`, `b`), in any order.

    Commas, semicolons or tabs. Colours are `#rrggbb` or `r,g,b`. Comments may stand above the header. Columns that
    tell nothing of a class are left alone, so that `classes.csv` of an output can be read back.

    Raises:
        RunError: Names the line and the value.
    """
    header, above = _header(text), comment_lines(text)
    roles = find_roles(header, f"{source}, line {above + 1}")
    if "name" not in roles:
        raise RunError(
            f"{source}, line {above + 1}: no column `name` among {[title[:40] for title in header[:10]]}; the first "
            "line must be a header such as `channel,id,name,color`"
        )
    return make_rows("CSV table", list(_cells(text, roles, above, source)), source)


def _cells(text: str, roles: dict[str, int], above: int, source: str) -> Iterator[tuple[dict[str, str], str]]:
    reader = csv.reader(io.StringIO(_below(text, above), newline=""), delimiter=_delimiter(text), strict=True)
    try:
        next(reader)
        for cells in reader:
            where = f"line {above + reader.line_num}"
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) <= max(roles.values()):
                raise RunError(
                    f"{source}, {where}: {len(cells)} cells, fewer than the header has; quote names that hold the "
                    "separator"
                )
            cell = {role: cells[i].strip() for role, i in roles.items()}
            yield {**cell, "name": unguard(cells[roles["name"]])}, where
    except csv.Error as error:
        raise RunError(f"{source}, line {above + reader.line_num}: not CSV ({error})") from error


def _header(text: str) -> list[str]:
    try:
        return next(csv.reader([_first(text)], delimiter=_delimiter(text)), [])
    except csv.Error:
        return []


def _delimiter(text: str) -> str:
    return max(",;\t", key=_first(text).count)


def _first(text: str) -> str:
    return lines_of(_below(text, comment_lines(text)), 1)[0]


def _below(text: str, above: int) -> str:
    ends = [match.end() for _, match in zip(range(above), re.finditer(r"\r\n|\n|\r", text), strict=False)]
    return text[ends[-1] :] if ends else text
