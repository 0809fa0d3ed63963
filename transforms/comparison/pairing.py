"""Classes of a reference paired with the model's, by their names."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from maskbeam.transforms.classes.class_table import LARGEST_ID, ClassInfo, ClassTable, folded_name
from maskbeam.transforms.classes.palettes import Color
from maskbeam.transforms.errors import RunError
from maskbeam.transforms.products.palette import VOID_COLOR

#: The ignore label in each channel of a colour.
WHITE: Color = (255, 255, 255)
_LISTED = 5


@dataclass(frozen=True)
class Pairing:
    """The class of the model that each value and each colour of a reference stands for.

    Classes are told by their index in the model's table, 0 to `count - 1`; `count` itself says "left out".

    Attributes:
        count: The number of the model's classes, C.
        ids: Index by value.
        colors: Index by colour.
        in_order: Index of each class of the reference's table, in its order.
        notes: What a person should know of it.
    """

    count: int
    ids: dict[int, int]
    colors: dict[Color, int]
    in_order: tuple[int, ...]
    notes: tuple[str, ...] = ()


def pair_classes(ours: ClassTable, theirs: ClassTable | None, *, flag: str, ignored: Iterable[int] = ()) -> Pairing:
    """Pairs the classes of a reference with the model's by name: letter case and outer blanks do not count.

    Args:
        ours: The model's classes.
        theirs: The reference's; None: values are the model's own ids.
        flag: The option that names the reference's table, for messages: `--truth_classes`.
        ignored: Values that are left out beside 255 and 65535; none of them where a class has it.

    Returns:
        The pairing. White, and the colour that label maps of maskbeam's own have where no class is, are left out
        where no class has them.

    Raises:
        RunError: A class of the reference has no partner; lists names that are near, and how to say which.
    """
    table, count = theirs or ours, len(ours)
    index = {folded_name(c.name.strip()): c.channel for c in ours.classes}
    found = {c: _partner(c, index, count) for c in table.classes}
    _refuse_unpaired([c for c, at in found.items() if at is None], ours, table, flag)
    paired = {c: at for c, at in found.items() if at is not None}
    ids = {**dict.fromkeys({*ignored, 255, LARGEST_ID}, count), **{c.id: at for c, at in paired.items()}}
    colors = {**dict.fromkeys((WHITE, VOID_COLOR), count), **_told_apart(paired)}
    return Pairing(count, ids, colors, tuple(paired.values()), tuple(_notes(ours, table, paired)) if theirs else ())


def _partner(theirs: ClassInfo, index: dict[str, int], count: int) -> int | None:
    name = theirs.name if theirs.taken_as is None else theirs.taken_as
    return index.get(folded_name(name.strip())) if name else count


def _told_apart(paired: dict[ClassInfo, int]) -> dict[Color, int]:
    """Index by colour, without the colours that classes of different partners share."""
    by_color: dict[Color, set[int]] = {}
    for c, at in paired.items():
        by_color.setdefault(c.color, set()).add(at)
    return {color: next(iter(at)) for color, at in by_color.items() if len(at) == 1}


def _refuse_unpaired(unpaired: list[ClassInfo], ours: ClassTable, theirs: ClassTable, flag: str) -> None:
    if not unpaired:
        return
    said = "; ".join(f"{_wanted(c)!r} ({_near(_wanted(c), ours)})" for c in unpaired[:_LISTED])
    more = f" and {len(unpaired) - _LISTED} more" if len(unpaired) > _LISTED else ""
    raise RunError(
        f"{flag} {theirs.source}: no class of the model is called {said}{more}. Add a column `as` to the table: the "
        "name of the model's class that a class is taken for, or nothing to leave it out"
    )


def _wanted(c: ClassInfo) -> str:
    return c.name if c.taken_as is None else c.taken_as


def _near(name: str, ours: ClassTable) -> str:
    by_folded = {folded_name(each): each for each in ours.names}
    close = difflib.get_close_matches(folded_name(name), by_folded, n=3)
    if close:
        return f"near: {', '.join(repr(by_folded[each]) for each in close)}"
    return f"the model has {', '.join(map(repr, ours.names[:_LISTED]))}{', ...' if len(ours) > _LISTED else ''}"


def _notes(ours: ClassTable, theirs: ClassTable, paired: dict[ClassInfo, int]) -> Iterable[str]:
    without = [c.name for c in ours.classes if c.channel not in paired.values()]
    if without:
        listed = ", ".join(map(repr, without[:_LISTED])) + (", ..." if len(without) > _LISTED else "")
        yield f"the reference ({theirs.source}) has no {listed}: where the model sees it, it is wrong"
    left_out = [c.name for c, at in paired.items() if at == len(ours)]
    if left_out:
        listed = ", ".join(map(repr, left_out[:_LISTED])) + (", ..." if len(left_out) > _LISTED else "")
        yield f"left out of the reference: {listed}"
