"""From the sums of weighted scores to labels, confidence and what is counted, some rows of an image at a time."""

from dataclasses import dataclass

import numpy as np

from maskbeam.transforms.argmax import Labeling, decide, looked_up
from maskbeam.transforms.confidence import overwriting
from maskbeam.transforms.elements import Array, Region
from maskbeam.transforms.resampling import upsample
from maskbeam.transforms.tiling.canvas import Rows


@dataclass(frozen=True, eq=False)
class Decided:
    """Rows of an image, decided.

    Attributes:
        region: Where they lie.
        labels: Label map `[R, W]`, or planes `[C, R, W]`.
        confidence: Uint16 of the same shape, in units of 1/65535; None where it is no product.
        confidence_sum: Sum of the winning probability over these pixels, each rounded to 1/65535: integers, so that
            it is the same for any division of an image. Of independent classes the mean over classes counts.
        nonfinite: Pixels with a NaN among their scores.
        first_nonfinite: Row and column of the first one in the image; None where there is none.
    """

    region: Region
    labels: Array
    confidence: Array | None = None
    confidence_sum: int = 0
    nonfinite: int = 0
    first_nonfinite: tuple[int, int] | None = None


def decided(rows: Rows, labeling: Labeling) -> Decided:
    """Decides about rows that are complete.

    Raises:
        ImageError: `MODEL_FAILED` where a model of class ids emits one that the table does not have.
    """
    region, scores = rows.region, rows.scores
    if scores.ndim == 2:
        return Decided(region, looked_up(scores, labeling))
    shape = (len(labeling.channel_ids), *region.size) if labeling.has_planes else region.size
    labels: Array = np.empty(shape, np.bool_ if labeling.has_planes else labeling.dtype)
    confidence = np.empty(shape, np.uint16) if labeling.keep_confidence else None
    nan = np.zeros(region.size, np.bool_)
    total = 0
    for strip, part in upsample.bands(scores):
        if rows.weights is not None:
            np.divide(part, rows.weights[strip], out=part)
        nan[strip] = np.isnan(part).any(axis=0)
        total += _certainty(part.copy(), labeling)
        labels[..., strip, :], sure = decide(part, labeling)
        if confidence is not None and sure is not None:
            confidence[..., strip, :] = sure
    count = int(np.count_nonzero(nan))
    return Decided(region, labels, confidence, total, count, _first(nan, region) if count else None)


def _certainty(scores: Array, labeling: Labeling) -> int:
    """The sum of winning probabilities, in units of 1/65535, of scores `[C, R, W]`, which it overwrites."""
    units = overwriting(scores, kind=labeling.kind, measure="probability")
    if units.ndim == 2:
        return int(units.sum(dtype=np.int64))
    return int(np.rint(units.mean(axis=0)).sum(dtype=np.float64))


def _first(nan: Array, region: Region) -> tuple[int, int]:
    row, column = divmod(int(nan.argmax()), region.width)
    return region.top + row, region.left + column
