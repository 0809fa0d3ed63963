"""Words to values, a function for each kind; each raises argparse's error with the value and the fix.

Lists: `,` within a group, `/` between groups, `=` between key and value.
"""

import argparse
import math
from collections.abc import Callable, Collection, Mapping

from maskbeam.pipeline.options.part import Part

_LARGEST_ID = 65535
LARGEST_OVERLAP = 0.75


def filled(text: str) -> str:
    """Any text but none, which is what a shell makes of a variable that is not set."""
    if not text.strip():
        raise argparse.ArgumentTypeError("its value is empty; give one, or leave the flag out")
    return text


def names(text: str) -> tuple[str, ...]:
    """`a,b` as a tuple."""
    filled(text.replace(",", ""))
    return tuple(part.strip() for part in text.split(",") if part.strip())


def some_of(known: Collection[str], noun: str) -> Callable[[str], frozenset[str]]:
    """A parser of `a,b`, or `all`, as a set of known words; `noun` is what an error calls one."""

    def chosen(text: str) -> frozenset[str]:
        found = frozenset(known if text.strip() == "all" else names(text))
        for name in sorted(found.difference(known)):
            raise argparse.ArgumentTypeError(f"{name!r} is no {noun}; choose from {', '.join(known)} or all")
        return found

    return chosen


def with_synonyms(known: Collection[str], same: Mapping[str, str], noun: str) -> Callable[[str], str]:
    """A parser of a known word, or of another name for one in `same`; gives the one under which it is kept."""

    def chosen(text: str) -> str:
        if text not in known and text not in same:
            raise argparse.ArgumentTypeError(
                f"{text!r} is no {noun}; choose from {', '.join(sorted({*known, *same}))}"
            )
        return same.get(text, text)

    return chosen


def number_pair(text: str) -> tuple[float, float]:
    """`lo,hi` as two numbers, lo below hi."""
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a range; write two numbers, as in 0,4095") from None
    if not low < high:
        raise argparse.ArgumentTypeError(f"{text!r} is empty; the first number must be below the second")
    if not math.isfinite(high - low):
        raise argparse.ArgumentTypeError(f"{text!r} has no end; write two numbers, as in 0,4095")
    return low, high


def color(text: str) -> tuple[int, int, int]:
    """`r,g,b`, each 0..255."""
    parts = text.split(",")
    if len(parts) != 3 or not all(part.strip().isdigit() and int(part) <= 255 for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is no colour; write three numbers of 0..255, as in 255,255,255")
    red, green, blue = map(int, parts)
    return red, green, blue


def fraction(text: str) -> float:
    """A number of 0..1."""
    value = _number(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number between 0 and 1")
    return value


def overlap(text: str) -> float:
    """A number of 0..0.75."""
    value = _number(text)
    if not value >= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number between 0 and {LARGEST_OVERLAP}")
    if value > LARGEST_OVERLAP:
        raise argparse.ArgumentTypeError(
            f"{text!r} is above {LARGEST_OVERLAP}, where each pixel is computed 16 times"
        )
    return value


def _number(text: str) -> float:
    """A number; NaN, which lies between no two others, for text that is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def count(text: str) -> int:
    """A whole number of 1 or more."""
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of 1 or more")
    return int(text)


def whole(text: str) -> int:
    """A whole number of 0 or more."""
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of 0 or more")
    return int(text)


def label_id(text: str) -> int:
    """A value that a pixel of a mask can have."""
    value = whole(text)
    if value > _LARGEST_ID:
        raise argparse.ArgumentTypeError(f"{text!r} is above {_LARGEST_ID}, the largest value of a mask's pixel")
    return value


def part(text: str) -> Part:
    """`i/n`, one of n parts."""
    words = text.split("/")
    if len(words) != 2 or not all(word.isascii() and word.isdigit() for word in words):
        raise argparse.ArgumentTypeError(f"{text!r} is no part; write 2/8 for the second of eight")
    index, parts = map(int, words)
    if not 1 <= index <= parts:
        raise argparse.ArgumentTypeError(f"{text!r} is no part; the first of eight is 1/8, the last 8/8")
    return Part(index, parts)


def allowance(text: str) -> str:
    """A count (`12`) or a share (`0.1%`)."""
    number = text.removesuffix("%")
    try:
        good = 0 <= float(number) <= 100 if text.endswith("%") else number.isdigit()
    except ValueError:
        good = False
    if not good:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a count such as 12 nor a share such as 0.1%")
    return text
