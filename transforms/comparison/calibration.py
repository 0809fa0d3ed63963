"""Calibration: how far the stated confidence is from the share that is right (Guo et al., 2017)."""

from typing import NamedTuple

import numpy as np

from maskbeam.transforms.elements import Array
from maskbeam.transforms.measures.class_summary import ratio

#: Equal bins of the confidence 0..1.
BINS = 15
_CERTAIN = 255
# The bins' edges are values of a confidence map, 17 apart. A bin holds its lower edge; the last one both.
_FIRST_OF_BIN = np.arange(BINS) * (_CERTAIN // BINS)


class Bin(NamedTuple):
    """Pixels of about the same confidence.

    Attributes:
        lower: The lowest confidence of the bin, 0..1.
        upper: Where the next bin begins; the last one ends at 1.
        pixels: The number of pixels.
        confidence: Their mean confidence; None without pixels.
        right: The share of them whose class is right; None without pixels.
    """

    lower: float
    upper: float
    pixels: int
    confidence: float | None
    right: float | None


def calibration_counts(hits: Array, confidence: Array, known: Array) -> Array:
    """Counts an image's pixels by confidence; counts of many images add up.

    Args:
        hits: Bool `[H, W]`: the label is the reference's.
        confidence: Uint8 `[H, W]`: probability of the label, 255 is certain.
        known: Bool `[H, W]`: the pixels that count: those whose reference is a class and that have a label.

    Returns:
        Int64 `[15, 3]`: pixels of each bin, those that are right, and the sum of the confidence in units of 1/255.
    """
    states = (hits.view(np.uint8) + (~known).view(np.uint8) * 2).astype(np.uint16) << 8 | confidence
    wrong, right = np.bincount(states.reshape(-1), minlength=1024).reshape(4, 256)[:2]
    values = np.stack([wrong + right, right, np.arange(256) * (wrong + right)], axis=1)
    # The last edge begins no bin.
    return np.add.reduceat(values, _FIRST_OF_BIN, axis=0)


def expected_calibration_error(counts: Array) -> float | None:
    """The mean, over pixels, of the distance between confidence and share right in their bin; None without pixels.

    Args:
        counts: Int64 `[15, 3]`, of one image or the sum of many.
    """
    # n/N |hits/n - sum/(255 n)| is |255 hits - sum| / (255 N): whole numbers up to the end.
    distance = int(np.abs(_CERTAIN * counts[:, 1] - counts[:, 2]).sum())
    return ratio(distance, _CERTAIN * int(counts[:, 0].sum()))


def calibration_bins(counts: Array) -> list[Bin]:
    """The table of a reliability diagram: 15 bins of counts `[15, 3]`."""
    return [
        Bin(at / BINS, (at + 1) / BINS, pixels, ratio(total, _CERTAIN * pixels), ratio(right, pixels))
        for at, (pixels, right, total) in enumerate(counts.tolist())
    ]
