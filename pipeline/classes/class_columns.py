"""Columns of a class table under the names that people give them: in the header of a CSV, or as keys in JSON."""

import re
from collections.abc import Mapping, Sequence

from maskbeam.pipeline.classes.class_rows import Row, Rows, parse_color, parse_id
from maskbeam.transforms.classes.palettes import Color
from maskbeam.transforms.errors import RunError

# Names of columns in lower case, with `_` for whatever else stands between words.
_TITLES = {
    "channel": {"channel", "index", "idx"},
    "train_id": {"train_id", "trainid"},
    "id": {"id", "label_id", "class_id", "category_id", "value", "pixel", "pixel_value"},
    "name": {"name", "label", "class", "class_name", "label_name", "category_name"},
    "color": {"color", "colour", "color_rgb", "colour_rgb", "rgb", "rgb_color", "hex", "hex_color", "color_hex"},
    "as": {"as"},
    "red": {"r", "red"},
    "green": {"g", "green"},
    "blue": {"b", "blue"},
}
# Words of a title that no role has, but that say that the column matters.
_TELLING = {
    "color": {"color", "colors", "colour", "colours", "rgb", "hex", "palette"},
    "id": {"id", "ids", "index", "idx", "channel", "value", "pixel", "number", "no", "nr", "code"}
    | {"trainid", "classid", "labelid", "categoryid", "pixelvalue"}
    | {"gray", "grey", "grayscale", "greyscale", "intensity"},
}
_MEANING = {
    "color": "the colours of classes, whose column is called `color`",
    "id": "what masks hold, whose column is called `id`, or the model's channels, whose column is called `channel`",
}
_COLORS = {"color", "red", "green", "blue"}
_NUMBERS = {"channel", "train_id", "id"}
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")  # as in `classId`
# What a train id is of classes that no model is trained for, as in Cityscapes.
_UNTRAINED = ("255", "-1")


def role_of(title: object) -> str:
    """The role of a column of this title: `name`, `channel`, `train_id`, `id`, a colour or a part of it; or `""`."""
    folded = _folded(title)
    return next((role for role, titles in _TITLES.items() if folded in titles), "")


def find_roles(titles: Sequence[str], place: str) -> dict[str, int]:
    """The place of each role among a table's titles. Titles that tell nothing of a class are left alone.

    Raises:
        RunError: Two columns have one role; a column seems to give colours or numbers, which no other gives, under a
            name that is not known.
    """
    roles: dict[str, int] = {}
    told: dict[str, str] = {}
    for i, title in enumerate(titles):
        role = role_of(title)
        what = "channel" if role == "train_id" else role
        if what in told:
            raise RunError(f"{place}: {told[what]!r} and {title!r} both give the {what}; keep one")
        if role:
            told[what], roles[role] = title, i
    _refuse_unknown(titles, roles, place)
    return roles


def _refuse_unknown(titles: Sequence[str], roles: Mapping[str, int], place: str) -> None:
    given = {"color": not _COLORS.isdisjoint(roles), "id": not _NUMBERS.isdisjoint(roles)}
    for title in titles:
        words = {*_folded(title).split("_"), *_folded(_HUMP.sub("_", title)).split("_")}
        for role, telling in _TELLING.items():
            if not given[role] and not role_of(title) and words & telling:
                raise RunError(
                    f"{place}: {title[:40]!r} is not known, and may tell {_MEANING[role]}; remove it, or write it so"
                )


def make_row(cell: Mapping[str, str], where: str, source: str) -> Row:
    """One class of a table; `cell` is the text of each role that the table has, `""` where it says nothing.

    Raises:
        RunError: A number or a colour is none.
    """
    place = f"{source}, {where}"
    channel = cell.get("channel") or cell.get("train_id")
    return Row(
        cell["name"].strip(),
        where,
        channel=parse_id(channel, "channel", place) if channel else None,
        id=parse_id(cell["id"], "id", place) if cell.get("id") else None,
        color=_color(cell, place),
        taken_as=cell["as"].strip() if "as" in cell else None,
    )


def make_rows(kind: str, cells: Sequence[tuple[Mapping[str, str], str]], source: str) -> Rows:
    """The rows of a table, each with where it stands; those of classes that no model is trained for are left out.

    Raises:
        RunError: As in `make_row`, or all names are numbers.
    """
    untrained = _UNTRAINED if len(cells) <= 255 else _UNTRAINED[1:]
    trained = [(cell, where) for cell, where in cells if cell.get("train_id") not in untrained]
    check_names([cell["name"] for cell, _ in trained], source)
    left_out = len(cells) - len(trained)
    are = "row is" if left_out == 1 else "rows are"
    note = f"{left_out} {are} left out: a train id of 255 or -1 means that no model is trained for the class"
    return Rows(kind, tuple(make_row(cell, where, source) for cell, where in trained), (note,) if left_out else ())


def check_names(names: Sequence[str], source: str) -> None:
    """Makes sure that names are names.

    Raises:
        RunError: All of them are numbers.
    """
    if names and all(re.fullmatch(r"\s*[+-]?\d+(\.\d+)?\s*", name) for name in names):
        raise RunError(
            f"{source}: every class is named by a number, such as {names[0].strip()[:20]!r}, so these seem to be "
            "ids: write a CSV table with the header `id,name`; if they are names, put a word before each"
        )


def _color(cell: Mapping[str, str], place: str) -> Color | None:
    parts = [cell[part] for part in ("red", "green", "blue") if cell.get(part)]
    text = cell.get("color") or ",".join(parts)
    return parse_color(text, place) if text else None


def _folded(title: object) -> str:
    return re.sub(r"[\W_]+", "_", str(title).strip().lower()).strip("_")
