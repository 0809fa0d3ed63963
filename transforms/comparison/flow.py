"""The flow between two label maps: how many pixels of each class of the one are of each class of the other.

Labels are class indexes, 0 to C - 1, and C for none: ignored in a reference, abstained in ours.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from maskbeam.transforms.elements import Array

# Runs are counted where they are so long on average; else pixels.
_RUN = 8


class Flow(NamedTuple):
    """Counts of pairs of classes; those of many images add up.

    Attributes:
        pairs: Int64 `[K]`, sorted, each once: `reference * (C + 1) + labels`. Ignored references are not among them.
        pixels: Int64 `[K]`, of each pair.
        images: Int64 `[K]`, that have each pair.
    """

    pairs: Array
    pixels: Array
    images: Array


def flow(reference: Array, labels: Array, count: int) -> Flow:
    """Counts the pairs of two label maps `[H, W]`.

    Args:
        reference: Class indexes `[H, W]`; `count` where the reference is ignored.
        labels: Class indexes of the same shape; `count` where no class is.
        count: The number of classes, C.

    Raises:
        ValueError: The shapes differ.
    """
    every = all_pairs(reference, labels, count)
    # Those whose reference is ignored come last.
    known = int(np.searchsorted(every.pairs, count * (count + 1)))
    return Flow(*(field[:known] for field in every))


def all_pairs(reference: Array, labels: Array, count: int) -> Flow:
    """The same as `flow` of label maps `[H, W]`, with the pairs of ignored references."""
    if reference.shape != labels.shape:
        raise ValueError(f"the reference is {reference.shape} and labels are {labels.shape}")
    pairs, pixels = counted(_joint(reference, labels, count))
    if count < 256:
        pairs = (pairs >> 8) * (count + 1) + (pairs & 255)
    return Flow(pairs, pixels, np.ones(len(pairs), np.int64))


def joined(flows: Sequence[Flow]) -> Flow:
    """The sum of flows, int64 `[K]`, of as many classes each."""
    pairs, inverse = np.unique(np.concatenate([NOTHING.pairs, *(each.pairs for each in flows)]), return_inverse=True)
    sums = []
    for field in ("pixels", "images"):
        total = np.zeros(len(pairs), np.int64)
        np.add.at(total, inverse, np.concatenate([NOTHING.pairs, *(getattr(each, field) for each in flows)]))
        sums.append(total)
    return Flow(pairs, *sums)


def of_classes(flow: Flow, count: int) -> Array:
    """Pixels of each class, int64 `[C, 3]`: both have it, the reference has it, the labels have it."""
    reference, labels = np.divmod(flow.pairs, count + 1)
    classes = np.zeros((count + 1, 3), np.int64)
    same = reference == labels
    np.add.at(classes[:, 0], reference[same], flow.pixels[same])
    np.add.at(classes[:, 1], reference, flow.pixels)
    np.add.at(classes[:, 2], labels, flow.pixels)
    return classes[:count]


NOTHING = Flow(*(np.zeros(0, np.int64) for _ in range(3)))


def counted(numbers: Array) -> tuple[Array, Array]:
    """The distinct numbers of an image, sorted, and how often each occurs.

    Args:
        numbers: Uint16 or int64 `[N]`, row by row: neighbours are mostly equal, and are counted as one.

    Returns:
        Int64 `[K]` both.
    """
    starts = np.flatnonzero(np.concatenate(([len(numbers) > 0], numbers[1:] != numbers[:-1])))
    if len(starts) * _RUN > len(numbers) and numbers.dtype == np.uint16:
        pixels = np.bincount(numbers)
        found = np.flatnonzero(pixels)
        return found, pixels[found]
    lengths = np.diff(starts, append=len(numbers))
    distinct, at = np.unique(numbers[starts], return_inverse=True)
    # Sums of float64 are exact below 2^53.
    return distinct.astype(np.int64), np.bincount(at, lengths, len(distinct)).astype(np.int64)


def _joint(reference: Array, labels: Array, count: int) -> Array:
    """Both in one number `[N]`: of 16 bits where that is enough, which is four times as fast."""
    if count < 256:
        return (reference.astype(np.uint16) << 8 | labels).reshape(-1)
    return (reference.astype(np.int64) * (count + 1) + labels).reshape(-1)
