"""Class files that are plain lines of text: CVAT's `labelmap.txt`, colours with names, and a list of names."""

import re

from maskbeam.pipeline.classes.class_columns import check_names
from maskbeam.pipeline.classes.class_lines import Lines, check_lines, unquoted
from maskbeam.pipeline.classes.class_rows import Row, Rows, parse_color

_LABELMAP_LINE = re.compile(r"(.*):([\d\s,]*):([^:]*):([^:]*)")
# CamVid's label_colors.txt: red, green, blue and a name, which does not begin with one more number.
_COLOR_LINE = re.compile(r"\s*(\d{1,3}[\s,]+\d{1,3}[\s,]+\d{1,3})[\s,]+(?!\d+(?:[\s,]|\Z))(\S.*)")
_LINE_END = re.compile(r"\r\n|\n|\r")
# labelme's first line stands for pixels that it leaves out, in its own words class -1.
_LABELME_IGNORE = "__ignore__"


def is_labelmap(text: str) -> bool:
    """True if this is a `labelmap.txt`: `label:color_rgb:parts:actions` on every line that is no comment."""
    lines = [line for line in lines_of(text) if line.strip() and not line.startswith("#")]
    return bool(lines) and all(_LABELMAP_LINE.fullmatch(line) for line in lines)


def read_labelmap(text: str, source: str) -> Rows:
    """CVAT's and Datumaro's `labelmap.txt`; a mask's pixel is the line's place, as in CVAT's own exports."""
    rows = []
    for number, line in enumerate(lines_of(text), 1):
        if line.strip() and not line.startswith("#"):
            name, color = line.rsplit(":", 3)[:2]
            place = f"{source}, line {number}"
            rows.append(
                Row(name.strip(), f"line {number}", color=parse_color(color, place) if color.strip() else None)
            )
    return Rows("CVAT label map", tuple(rows))


def is_color_list(text: str) -> bool:
    """True if every line is a colour and a name: `128 64 128 road`."""
    lines = [line for _, line in _numbered(text)]
    return bool(lines) and all(_COLOR_LINE.fullmatch(line) for line in lines)


def read_color_list(text: str, source: str) -> Rows:
    """CamVid's `label_colors.txt`: red, green, blue and a name in each line.

    Raises:
        RunError: A number is over 255.
    """
    rows = []
    for number, line in _numbered(text):
        if match := _COLOR_LINE.fullmatch(line):
            color = parse_color(match[1], f"{source}, line {number}")
            rows.append(Row(match[2].strip(), f"line {number}", color=color))
    return Rows("list of colours and names", tuple(rows))


def read_names(text: str, source: str) -> Rows:
    """One name a line, nothing else. Comments above, labelme's `__ignore__` and quotes are left out, and it is said.

    Raises:
        RunError: As in `check_lines`.
    """
    lines = _numbered(text)
    check_lines(lines, source)
    notes = ["comments above the names are left out"] if comment_lines(text) else []
    if len(lines) > 1 and lines[0][1].strip() == _LABELME_IGNORE:
        notes.append(f"{_LABELME_IGNORE} is no class: labelme marks with it what belongs to none")
        lines = lines[1:]
    if any(unquoted(line)[1] for _, line in lines):
        notes.append("quotes around names are left out")
    rows = tuple(Row(unquoted(line)[0], f"line {i}") for i, line in lines)
    check_names([row.name for row in rows], source)
    return Rows("list of names", rows, tuple(notes))


def comment_lines(text: str) -> int:
    """The number of comments at the top, which begin with `#`; none, if all lines do."""
    lines = lines_of(text.rstrip())
    return next((i for i, line in enumerate(lines) if not line.startswith("#")), 0)


def lines_of(text: str, limit: int = 0) -> list[str]:
    """The lines of a text, or the first `limit` ones and the rest; not by splitlines(), which splits within names."""
    return _LINE_END.split(text, maxsplit=limit)


def _numbered(text: str) -> Lines:
    above = comment_lines(text)
    return list(enumerate(lines_of(text.rstrip()), 1))[above:]
