"""Numbers the way people read them, and names so that they are letters and nothing else."""

import unicodedata
from collections.abc import Mapping

_KINDS = 5


def plural(number: int, noun: str, several: str = "") -> str:
    """A number with its noun: `1 image`, `12,345 images`."""
    return f"{number:,} {noun if number == 1 else several or noun + 's'}"


def by_kind(numbers: Mapping[str, int]) -> str:
    """Numbers of each kind, the most frequent first: `15 AVIF, 1 DICOM`."""
    ordered = sorted(numbers.items(), key=lambda each: (-each[1], each[0]))
    shown = [f"{number:,} {kind}" for kind, number in ordered[:_KINDS]]
    others = sum(number for _, number in ordered[_KINDS:])
    return ", ".join([*shown, *([f"{others:,} of other kinds"] if others else [])])


def printable(text: str) -> str:
    """A text as one line that does nothing to a terminal: what is no letter, sign or blank is written as an escape.

    So are line breaks, the beginnings of terminals' commands, what turns the direction of writing, and halves of
    surrogate pairs. A name may hold all of these; applied twice, it changes nothing more.
    """
    if text.isprintable():
        return text
    return "".join(c if _is_shown(c) else c.encode("unicode_escape").decode() for c in text)


def printable_lines(text: str) -> str:
    """The same of several lines, which whoever wrote the text has broken; names in it are `printable` already."""
    return "\n".join(map(printable, text.split("\n")))


def _is_shown(letter: str) -> bool:
    return letter.isprintable() or unicodedata.category(letter) == "Zs"


def duration(seconds: float) -> str:
    """A length of time in its two largest units: `45 s`, `3 min 20 s`, `2 h 5 min`, `4 d 3 h`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def rate(number: int, seconds: float) -> str:
    """Images a second, with three digits or so: `0.25/s`, `61.7/s`, `1,234/s`."""
    per_second = number / seconds if seconds > 0 else 0.0
    decimals = 2 if per_second < 10 else 1 if per_second < 100 else 0
    return f"{per_second:,.{decimals}f}/s"


def percent(share: float) -> str:
    """A share of 1 in percent: what is there is never shown as 0%, what is missing never as 100%."""
    shown = f"{100 * share:.1f}%"
    if share > 0 and shown == "0.0%":
        return "<0.1%"
    return ">99.9%" if share < 1 and shown == "100.0%" else shown
