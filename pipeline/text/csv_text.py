"""CSV files that hold people's own names: quoted as RFC 4180 asks, and never a formula to a spreadsheet."""

import re
from collections.abc import Iterable

# What spreadsheets take for the beginning of a formula; the last four are full-width forms of the first four.
_FORMULA = r"(?:[\t\r\n]|\s*[=+\-@\uff1d\uff0b\uff0d\uff20])"
_DANGEROUS = re.compile(rf"'*{_FORMULA}")
_GUARDED = re.compile(rf"'+{_FORMULA}")
# The semicolon, because it separates cells where the comma is the decimal point.
# Halves of surrogate pairs stand in the file as backslash escapes.
_HALF = re.compile(r"\\u(d[89a-f][0-9a-f]{2})")
_QUOTED = re.compile(r'[",;\t\r\n]|^\s|\s\Z')


def guard(text: str) -> str:
    """The text with an apostrophe before it when a spreadsheet would take it for a formula; `unguard` takes it away.

    A text that looks guarded already gets one more, so that the way back is exact.
    """
    return "'" + text if _DANGEROUS.match(text) else text


def unguard(text: str) -> str:
    """Restores what `guard` was given."""
    return text[1:] if _GUARDED.match(text) else text


def cell_text(cell: str) -> str:
    """The text that `csv_line` was given, of its cell as a CSV reader gives it."""
    return _HALF.sub(lambda match: chr(int(match[1], 16)), unguard(cell))


def csv_line(cells: Iterable[str | int | float | None]) -> str:
    """One line of a CSV file, its newline included; texts are guarded, None is an empty cell.

    Floats have nine significant digits. Halves of surrogate pairs, which names of old files may hold and UTF-8 may
    not, are written as backslash escapes.
    """
    return ",".join(map(_cell, cells)).encode("utf-8", "backslashreplace").decode() + "\n"


def _cell(value: str | int | float | None) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return format(value, ".9g")
    text = guard(value) if isinstance(value, str) else str(value)
    return '"' + text.replace('"', '""') + '"' if _QUOTED.search(text) else text
