"""Intervals of scores by a Poisson bootstrap (Hanley and MacGibbon, 2006; Chamandy et al., 2012).

In each replicate every image, or group of images, counts as often as a number drawn from a Poisson distribution of
mean 1. Here that number is a digest of the group's name, looked up in a table: the same wherever and in whatever
order images are counted.
"""

import hashlib
import math
from collections.abc import Sequence
from functools import cache

import numpy as np

from maskbeam.transforms.elements import Array

#: Of fewer groups no interval is told.
FEWEST_GROUPS = 20
#: With more classes sums take too much room.
MOST_CLASSES = 1024
_BITS = 16


def replicates(count: int) -> int:
    """The number of replicates, B, for so many classes: what is held are 24 bytes a class and replicate."""
    return 0 if count > MOST_CLASSES else 1000 if count <= 300 else 200


def weights(group: str, number: int) -> Array:
    """The weights of a group in each replicate, uint8 `[B]`."""
    drawn = hashlib.shake_128(group.encode("utf-8", "surrogatepass")).digest(2 * number)
    found: Array = _table()[np.frombuffer(drawn, "<u2")]
    return found


def weighted_sums(groups: Sequence[str], counts: Array, number: int) -> Array:
    """The sums of counts in each replicate, int64 `[B, ...]`.

    Args:
        groups: The group of each of N images.
        counts: Int64 `[N, ...]`; all sums stay below 2^53, up to which float64 is exact.
        number: The number of replicates, B.
    """
    drawn = np.array([weights(group, number) for group in groups], np.float64).reshape(len(groups), number)
    flat = counts.reshape(len(groups), math.prod(counts.shape[1:])).astype(np.float64)
    sums: Array = np.rint(drawn.T @ flat).astype(np.int64)
    return sums.reshape(number, *counts.shape[1:])


def interval(values: Array) -> tuple[float, float] | None:
    """The 2.5 and 97.5 percentiles, by nearest rank, of the replicates `[B]` that have a value; None without any."""
    there = np.sort(values[~np.isnan(values)])
    if not len(there):
        return None
    low, high = (there[max(0, math.ceil(len(there) * rank) - 1)] for rank in (0.025, 0.975))
    return float(low), float(high)


def ious(sums: Array) -> Array:
    """IoU `[B, C]` of sums `[B, C, 3]`; NaN where a class is in neither."""
    union = (sums[..., 1] + sums[..., 2] - sums[..., 0]).astype(np.float64)
    found: Array = np.divide(sums[..., 0], union, out=np.full(union.shape, np.nan), where=union > 0)
    return found


def means(values: Array) -> Array:
    """Means `[B]` over the classes that have a value, of `[B, C]`; NaN where none has."""
    there = ~np.isnan(values)
    number = there.sum(axis=1)
    total = np.where(there, values, 0).sum(axis=1)
    found: Array = np.divide(total, number, out=np.full(len(values), np.nan), where=number > 0)
    return found


@cache
def _table() -> Array:
    """The Poisson number of mean 1 of each value of 16 bits."""
    steps = 1 << _BITS
    below, probability, bounds = 0.0, math.exp(-1), []
    for k in range(10):
        below += probability
        bounds.append(round(below * steps))
        probability /= k + 1
    return np.searchsorted(bounds, np.arange(steps), side="right").astype(np.uint8)
