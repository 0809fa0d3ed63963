"""Ids of a reference that fit the model's far better when they are shifted by one, or exchanged.

Data sets number classes from 0 or from 1, and by train ids or others: what is compared by number then agrees nowhere.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np

from maskbeam.transforms.elements import Array

# Pixels by the reference's value and the label's id.
Pairs = Mapping[tuple[int, int], int]
# From so many times the agreement on another numbering is told.
_FACTOR = 2
_LISTED = 5


class Fit(NamedTuple):
    """Another numbering, and how well it fits.

    Attributes:
        words: What it is, and what to do.
        share: Of known pixels, those that agree as ids are.
        better: Those that would.
    """

    words: str
    share: float
    better: float


def count_pairs(reference: Array, labels: Array) -> Counter[tuple[int, int]]:
    """Counts pixels of a reference and labels of one size, whole numbers 0..65535 `[H, W]`, by their two values."""
    pairs, counts = np.unique(reference.astype(np.int64) << 16 | labels, return_counts=True)
    return Counter({(int(p) >> 16, int(p) & 0xFFFF): int(n) for p, n in zip(pairs, counts, strict=True)})


def better_fit(pairs: Pairs, ignored: Collection[int]) -> Fit | None:
    """The numbering that fits at least twice as well as ids as they are; None where there is none.

    Args:
        pairs: Pixels by the reference's value and the label's id.
        ignored: Values and ids that count nowhere.
    """
    known = {pair: n for pair, n in pairs.items() if not set(pair) & set(ignored)}
    total = sum(known.values())
    agree = {shift: sum(n for (value, label), n in known.items() if label == value + shift) for shift in (-1, 0, 1)}
    exchanged = _assigned(known)
    of_exchanged = sum(known[pair] for pair in exchanged)
    shift = max((-1, 1), key=lambda each: agree[each])
    if total == 0 or max(agree[shift], of_exchanged) < _FACTOR * max(agree[0], 1):
        return None
    # A shift is the simpler word for what an exchange says as well.
    if agree[shift] >= 0.9 * of_exchanged:
        what = f"its ids {'less' if shift < 0 else 'plus'} one"
        return Fit(what, agree[0] / total, agree[shift] / total)
    moved = sorted((pair for pair in exchanged if pair[0] != pair[1]), key=lambda pair: -known[pair])
    listed = ", ".join(f"{value} as {label}" for value, label in moved[:_LISTED])
    more = ", ..." if len(moved) > _LISTED else ""
    return Fit(f"its ids exchanged ({listed}{more})", agree[0] / total, of_exchanged / total)


def fit_in_words(fit: Fit, flag: str) -> str:
    """The advice for a person; `flag` is the option of the reference's table."""
    return (
        f"{fit.words} would agree with the masks in {fit.better:.1%} of the known pixels, and as they are in "
        f"{fit.share:.1%}: probably they are other classes; say {flag} FILE, a table with its ids and names"
    )


def _assigned(pairs: Pairs) -> list[tuple[int, int]]:
    """One label for each value, and no label twice: the largest counts first."""
    chosen: list[tuple[int, int]] = []
    values: set[int] = set()
    labels: set[int] = set()
    for value, label in sorted(pairs, key=lambda pair: (-pairs[pair], pair)):
        if value not in values and label not in labels:
            chosen.append((value, label))
            values.add(value)
            labels.add(label)
    return chosen
