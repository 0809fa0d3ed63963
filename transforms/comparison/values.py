"""The meaning of a reference's pixels, told by what some references of a kind hold."""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

import numpy as np

from maskbeam.transforms.classes.palettes import Color
from maskbeam.transforms.comparison.pairing import Pairing
from maskbeam.transforms.comparison.reference import ReferencePixels
from maskbeam.transforms.elements import Array
from maskbeam.transforms.errors import RunError

_LISTED = 5


class Meaning(StrEnum):
    """The meaning of a number in a reference."""

    IDS = "ids"
    #: 0 and 255 for two classes.
    BINARY = "binary"
    #: The place of a colour in the palette.
    COLORS = "colors"


class Values(NamedTuple):
    """The meaning of the numbers in references: in grey ones, and in those with a palette; RGB is always colours."""

    grey: Meaning = Meaning.IDS
    palette: Meaning = Meaning.IDS


class Look(NamedTuple):
    """One reference looked at.

    Attributes:
        kind: In words: `8-bit grey`, `palette`, `RGB`.
        values: The numbers that it holds; empty for RGB.
        shown: Of a palette, each of these numbers with its colour; None for one that the palette does not have.
    """

    kind: str
    values: frozenset[int]
    shown: frozenset[tuple[int, Color | None]] = frozenset()


def look_at(reference: ReferencePixels) -> Look:
    """Looks at what a reference holds."""
    if reference.is_color:
        return Look("RGB", frozenset())
    values = _distinct(reference.pixels)
    if reference.palette is None:
        return Look(f"{8 * reference.pixels.itemsize}-bit grey", frozenset(values))
    palette = [(int(r), int(g), int(b)) for r, g, b in reference.palette]
    shown = frozenset((value, palette[value] if value < len(palette) else None) for value in values)
    return Look("palette", frozenset(values), shown)


def tell_values(looks: Sequence[Look], pairing: Pairing, *, flag: str, wish: Meaning | None = None) -> Values:
    """The meaning of numbers in references of which some were looked at.

    Indices of palettes are ids where all of them are those of classes or ignored; else their colours count, where
    all of them are the table's.

    Args:
        looks: Some references.
        pairing: What their values may stand for.
        flag: The option that says what numbers mean, for messages: `--truth_values`.
        wish: What it says; None: tell by content.

    Raises:
        RunError: Grey ones hold 0 and 255 alone, or the colours of a palette are of other classes than its indices,
            which two people would read in two ways; or they are said to be binary, and the table has not two classes.
    """
    grey = {value for look in looks if look.kind.endswith("grey") for value in look.values}
    if wish is Meaning.BINARY and len(pairing.in_order) != 2:
        raise RunError(
            f"{flag} binary: the table of the reference has {len(pairing.in_order)} classes; give one of two, whose "
            "first is 0 and whose second is 255"
        )
    if wish is None and 255 in grey <= {0, 255} and pairing.ids[255] == pairing.count:
        raise RunError(
            f"the references hold 0 and 255 alone: say {flag} binary where these are two classes, or {flag} ids "
            "where 0 is the id of a class and 255 means that nothing is known"
        )
    palette = wish if wish in (Meaning.IDS, Meaning.COLORS) else _told_of_palette(looks, pairing, flag)
    return Values(Meaning.BINARY if wish is Meaning.BINARY else Meaning.IDS, palette)


def values_in_words(looks: Sequence[Look], values: Values, pairing: Pairing) -> str:
    """Words for a person: which kinds were seen, and how each is understood."""
    kinds = {look.kind for look in looks}
    parts = [f"{kind}: {_MEANT[values.grey]}" for kind in sorted(kinds) if kind.endswith("grey")]
    parts += [f"palette: {_OF_PALETTE[values.palette]}"] if "palette" in kinds else []
    parts += ["RGB: the table's colours"] if "RGB" in kinds else []
    unknown = [_unknown(look, values, pairing) for look in looks]
    strange = sorted({value for each in unknown for value in each})
    if strange:
        listed = ", ".join(strange[:_LISTED]) + (", ..." if len(strange) > _LISTED else "")
        parts.append(f"{sum(map(bool, unknown))} of {len(looks)} hold what is neither a class nor ignored: {listed}")
    return "; ".join(parts)


_MEANT = {Meaning.IDS: "values are ids", Meaning.BINARY: "0 is the first class, 255 the second"}
_OF_PALETTE = {
    Meaning.IDS: "its indices are ids",
    Meaning.COLORS: "its colours are the table's, its indices are no ids",
}


def _told_of_palette(looks: Iterable[Look], pairing: Pairing, flag: str) -> Meaning:
    shown = {pair for look in looks for pair in look.shown}
    by_index = all(value in pairing.ids for value, _ in shown)
    by_color = all(color in pairing.colors for _, color in shown)
    both = (
        [(pairing.ids[value], pairing.colors[color]) for value, color in shown if color]
        if by_color & by_index
        else []
    )
    if any(by_value != of_color for by_value, of_color in both):
        raise RunError(
            "the palettes of the references show their indices in the colours of other classes: say which of the two "
            f"counts, {flag} ids or {flag} colors"
        )
    return Meaning.COLORS if by_color and not by_index else Meaning.IDS


def _unknown(look: Look, values: Values, pairing: Pairing) -> set[str]:
    if look.kind == "palette" and values.palette is Meaning.COLORS:
        return {f"colour {color}" for _, color in look.shown if color not in pairing.colors}
    known = {0, 255} if look.kind != "palette" and values.grey is Meaning.BINARY else pairing.ids.keys()
    return {f"value {value}" for value in look.values - known}


def _distinct(numbers: Array) -> list[int]:
    if numbers.dtype == np.uint8:
        return [int(value) for value in np.flatnonzero(np.bincount(numbers.reshape(-1), minlength=256))]
    return [int(value) for value in np.unique(numbers)]
