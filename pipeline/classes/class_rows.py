"""The rows that every kind of class file is read into, before it becomes a table."""

import re
from dataclasses import dataclass

from maskbeam.transforms.classes.class_table import LARGEST_ID, ClassInfo, ClassTable, check_classes
from maskbeam.transforms.classes.palettes import Color, generate_colors
from maskbeam.transforms.errors import RunError

# Notes list this many classes; nobody reads more in a terminal.
_LISTED = 30
_HEX = re.compile(r"#?([0-9a-fA-F]{6})\Z")


@dataclass(frozen=True)
class Row:
    """One class as a file tells it; None where the file does not say.

    `where` is its place in the file, such as "line 3".
    """

    name: str
    where: str
    channel: int | None = None
    id: int | None = None
    color: Color | None = None
    taken_as: str | None = None


@dataclass(frozen=True)
class Rows:
    """A class file's rows in its order, what kind of file it is, and what was assumed while it was read."""

    kind: str
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()


def build_table(file: Rows, source: str) -> ClassTable:
    """Fills in what the file does not say: channels from its order, ids from channels, colours that differ.

    Raises:
        RunError: The rows contradict each other; names file, place and value.
    """
    if not file.rows:
        raise RunError(f"{source}: this {file.kind} lists no class")
    if len(file.rows) > LARGEST_ID + 1:
        raise RunError(f"{source}: this {file.kind} lists {len(file.rows):,} classes; masks hold {LARGEST_ID + 1:,}")
    ordered = all(row.channel is None for row in file.rows)
    if not ordered:
        _check_channels(file.rows, source)
    channels = [i if row.channel is None else row.channel for i, row in enumerate(file.rows)]
    classes = _classes(file.rows, channels)
    places = {c.channel: row.where for c, row in zip(classes, file.rows, strict=True)}
    check_classes(classes, lambda c: places[c.channel], source)
    notes = (*file.notes, _order_note(file, classes)) if ordered else file.notes
    return ClassTable(classes, source, notes)


def _check_channels(rows: tuple[Row, ...], source: str) -> None:
    seen: dict[int, str] = {}
    for row in rows:
        if row.channel is None:
            raise RunError(f"{source}, {row.where}: {row.name!r} has no channel, but others have; give all or none")
        if not 0 <= row.channel < len(rows):
            last = len(rows) - 1
            reason = f"channel {row.channel} is not within 0..{last}, though {len(rows)} classes are listed"
            raise RunError(f"{source}, {row.where}: {reason}; every channel needs its class")
        if row.channel in seen:
            raise RunError(
                f"{source}, {row.where}: channel {row.channel} is already taken: {seen[row.channel]} has it"
            )
        seen[row.channel] = row.where


def _classes(rows: tuple[Row, ...], channels: list[int]) -> tuple[ClassInfo, ...]:
    given = {row.color for row in rows if row.color is not None}
    generated = iter(generate_colors(sum(row.color is None for row in rows), taken=given))
    return tuple(
        ClassInfo(
            channel, channel if row.id is None else row.id, row.name, row.color or next(generated), row.taken_as
        )
        for row, channel in zip(rows, channels, strict=True)
    )


def _order_note(file: Rows, classes: tuple[ClassInfo, ...]) -> str:
    listed = ", ".join(f"{c.channel} {c.name!r}" for c in classes[:_LISTED])
    more = f" and {len(classes) - _LISTED} more" if len(classes) > _LISTED else ""
    note = f"the {file.kind} gives no channels, so its order is used: {listed}{more}"
    ids = [c.id for c in classes]
    if ids != sorted(ids) and sorted(ids) == list(range(len(ids))):
        note += "; its ids are not in this order: if they are the model's channels, add a column `channel`"
    return note


def parse_id(text: str, what: str, place: str) -> int:
    """A whole number 0..65535; `what` and `place` are for the message."""
    if not re.fullmatch(r"[0-9]{1,9}", text.strip()) or int(text) > LARGEST_ID:
        raise RunError(f"{place}: {what} {text[:40]!r} is not a whole number within 0..{LARGEST_ID}")
    return int(text)


def parse_color(text: str, place: str) -> Color:
    """A colour given as `#rrggbb`, or as three numbers 0..255 with commas or spaces between."""
    hexadecimal = _HEX.match(text.strip())
    parts = [p for p in re.split(r"[,;\s]+", text.strip().strip("()[]")) if p]
    if len(parts) == 3 and all(re.fullmatch(r"[0-9]{1,3}", p) and int(p) <= 255 for p in parts):
        return int(parts[0]), int(parts[1]), int(parts[2])
    if hexadecimal:
        value = int(hexadecimal[1], 16)
        return value >> 16, value >> 8 & 255, value & 255
    raise RunError(f"{place}: colour {text[:40]!r} is neither #rrggbb nor three numbers within 0..255")
