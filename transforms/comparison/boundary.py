"""Boundary IoU: the agreement of labels with a reference where classes meet (Cheng et al., CVPR 2021)."""

import math

import numpy as np

from maskbeam.transforms.comparison.flow import all_pairs, of_classes
from maskbeam.transforms.elements import Array


def boundary_counts(reference: Array, labels: Array, count: int, fraction: float = 0.02) -> Array:
    """Counts the pixels of each class that lie at its boundary, in the reference, in the labels, and in both.

    Pixels whose reference is ignored are of no class in both, before boundaries are looked for.

    Args:
        reference: Class indexes `[H, W]`; `count` where the reference is ignored.
        labels: Class indexes of the same shape; `count` where no class is.
        count: The number of classes, C.
        fraction: The width of boundaries as a share of the image's diagonal.

    Returns:
        Int64 `[C, 3]`: both have it, the reference has it, the labels have it. As of `of_classes`, so that sums,
        ratios and intervals of boundaries are those of areas.
    """
    labels = np.where(reference == count, reference, labels)
    height, width = reference.shape
    reach = boundary_width(height, width, fraction)
    reference, labels = (np.where(band(each, reach), each, each.dtype.type(count)) for each in (reference, labels))
    return of_classes(all_pairs(reference, labels, count), count)


def boundary_width(height: int, width: int, fraction: float) -> int:
    """The width of boundaries in pixels: the fraction of the diagonal, rounded, at least 1."""
    return max(1, round(fraction * math.hypot(height, width)))


def band(labels: Array, width: int) -> Array:
    """Tells pixels that are not deep inside of their class: erosion of all classes at once.

    Args:
        labels: Class indexes `[H, W]`.
        width: Half the side of a square, d.

    Returns:
        Bool `[H, W]`: the square of `2 d + 1` pixels around the pixel leaves the image, or is not of one class.
    """
    found = np.ones(labels.shape, bool)
    inner = found[width:-width, width:-width]
    if inner.size:
        # A square is of one class if each of its rows is, and one of its columns.
        rows = _any(labels[:, 1:] != labels[:, :-1], 2 * width, axis=1)
        column = labels[1:, width:-width] != labels[:-1, width:-width]
        inner[:] = _any(rows[:-1] | column, 2 * width, axis=0) | rows[2 * width :]
    return found


def _any(flags: Array, length: int, axis: int) -> Array:
    """True where one of `length` flags in a row, or in a column, is: `[N - length + 1]` of N along the axis."""
    flags, reach = np.moveaxis(flags, axis, 0), 1
    while reach < length:
        step = min(reach, length - reach)
        flags = flags[:-step] | flags[step:]
        reach += step
    return np.moveaxis(flags, 0, axis)
