"""Lines of a text that are more than names, or something else: then nobody but the user knows what the names are."""

import re

from maskbeam.pipeline.classes.class_columns import role_of
from maskbeam.transforms.errors import RunError

Lines = list[tuple[int, str]]  # each with its number

# Signs of another kind of file. One line that has one is enough.
_NO_LIST = (
    (re.compile(r"\s*<[!?]|.*(</|/>)"), "HTML or XML"),
    (re.compile(r"[\s:|+]*(---|===)[\s:|+=-]*\Z"), "a table drawn with lines, as in Markdown"),
    (re.compile(r".*[\[({]\s*\Z|\s*[\])}]+[,;]?\s*\Z"), "a program"),
    (re.compile(r".*\S\s+(#|//)\s"), "a name with a comment behind it"),
)
_BEGINS_WITH_NUMBER = re.compile(r"\s*[(\[#]?\d+[\s,:;=.)\]|_-]")
# Signs of lines that hold more than a name, where all lines have one.
_MORE_THAN_A_NAME = (
    (re.compile(r"\s*#[0-9a-fA-F]{6}\s"), "begins with a colour"),
    (_BEGINS_WITH_NUMBER, "begins with a number"),
    (re.compile(r".*[\s,:;=(\[|]\d+[)\]]?\s*\Z"), "ends in a number"),
    (re.compile(r".*[\s,:;=]#[0-9a-fA-F]{6}\s*\Z"), "ends in a colour"),
    (re.compile(r".*[\t,;|]"), "holds a separator"),
    (re.compile(r".*\S:(\s|\Z)"), "holds a colon"),
    (re.compile(r".*\S\s*=\s*\S"), "holds an equals sign"),
    (re.compile(r"\s*[*+\u2022]\s"), "begins with the mark of a list"),
)
_SEPARATOR = re.compile(r".*[\t,;|]")
_ENDS_IN_SEPARATOR = re.compile(r".*[\t,;|]\s*\Z")
_QUOTED = re.compile('"((?:[^"]|"")*)"|\'([^\']*)\'|`([^`]*)`|\u201c([^\u201c\u201d]*)\u201d')
_DO = (
    "put a header such as `id,name` or `name` above, commas between cells, quotes around names that hold commas, and "
    "save it as a .csv file"
)


def check_lines(lines: Lines, source: str) -> None:
    """Makes sure that each line is a name.

    Raises:
        RunError: A line is empty; there is a header; the file is of another kind; every line holds more than a name.
    """
    for number, line in lines:
        if not line.strip():
            raise RunError(
                f"{source}, line {number}: the line is empty, so it is not clear which class it stands for"
            )
    _check_kind(lines, source)
    first, place = lines[0][1].strip()[:40], f"{source}, line {lines[0][0]}"
    bare = [line for _, line in lines if not unquoted(line)[1]]
    if len(lines) > 1:
        _check_all(first, place, bare if len(bare) == len(lines) else [], lines)
    elif bare and _SEPARATOR.match(bare[0]):
        raise RunError(f"{place}: the only line, {first!r}, holds separators: write one name a line")


def _check_all(first: str, place: str, bare: list[str], lines: Lines) -> None:
    if any(role_of(first.lower().removesuffix(end)) == "name" for end in ("", "s", "es")):
        raise RunError(f"{place}: {first!r} looks like a header; save the table as a .csv file, or remove that line")
    for pattern, does in _MORE_THAN_A_NAME if bare else ():
        if all(map(pattern.match, bare)):
            raise RunError(f"{place}: {first!r} {does}, as all lines do, so it is not clear what the name is: {_DO}")
    if len(bare) > 2 and all(map(_BEGINS_WITH_NUMBER.match, bare[1:])):
        raise RunError(
            f"{place}: all lines but {first!r} begin with a number, so it is not clear what the name is: {_DO}"
        )
    if all(_ENDS_IN_SEPARATOR.match(line) for _, line in lines[:-1]):
        raise RunError(f"{place}: {first!r} ends in a separator, as all lines but the last do: remove them")


def _check_kind(lines: Lines, source: str) -> None:
    for number, line in lines:
        for pattern, kind in _NO_LIST:
            if pattern.match(line):
                raise RunError(
                    f"{source}, line {number}: {line.strip()[:40]!r} looks like {kind}: write one name a line and "
                    f"nothing else, or {_DO}"
                )


def unquoted(line: str) -> tuple[str, bool]:
    """A line's name, without the quotes where all of it is in quotes, and whether it is."""
    found = _QUOTED.fullmatch(line.strip())
    if not found:
        return line.strip(), False
    return next(name for name in found.groups() if name is not None).replace('""', '"').strip(), True
