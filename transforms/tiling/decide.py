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
        pixels: Label map `[R, W]`, or planes `[C, R, W]`.
        confidence: Uint16 of the same shape, in units of 1/65535; None where it is no product.
        confidence_sum: Sum of the winning probability over these pixels, each rounded to 1/65535: integers, so that
            it is the same for any division of an image. Of independent classes the mean over classes counts.
        confidence_pixels: Pixels that it is the sum over: those with data; none of a model of class ids.
        nonfinite: Pixels with a NaN among their scores.
        first_nonfinite: Row and column of the first one in the image; None where there is none.
    """

    region: Region
    pixels: Array
    confidence: Array | None = None
    confidence_sum: int = 0
    confidence_pixels: int = 0
    nonfinite: int = 0
    first_nonfinite: tuple[int, int] | None = None


def decided(rows: Rows, labeling: Labeling) -> Decided:
    """Decides about rows that are complete.

    Raises:
        ImageError: `MODEL_FAILED` where a model of class ids emits one that the table does not have.
    """
    if rows.scores is None or (rows.valid is not None and not rows.valid.any()):
        return _nothing(rows.region, labeling)
    if rows.scores.ndim == 2:
        return _of_ids(rows, rows.scores, labeling)
    region, shape = rows.region, _shape(rows.region, labeling)
    labels: Array = np.empty(shape, _dtype(labeling))
    confidence = np.empty(shape, np.uint16) if labeling.keep_confidence else None
    nan = np.zeros(region.size, np.bool_)
    total = 0
    for strip, part in upsample.bands(rows.scores):
        valid = None if rows.valid is None else rows.valid[strip]
        if rows.weights is not None:
            _divide(part, rows.weights[strip], valid)
        nan[strip] = np.isnan(part).any(axis=0)
        total += _certainty(part.copy(), labeling, valid)
        labels[..., strip, :], sure = decide(part, labeling)
        if confidence is not None and sure is not None:
            confidence[..., strip, :] = sure
    _leave_out(labels, confidence, rows.valid, labeling)
    nan &= True if rows.valid is None else rows.valid
    count, pixels = int(np.count_nonzero(nan)), nan.size if rows.valid is None else int(np.count_nonzero(rows.valid))
    return Decided(region, labels, confidence, total, pixels, count, _first(nan, region) if count else None)


def _nothing(region: Region, labeling: Labeling) -> Decided:
    """Rows of which no pixel has data."""
    shape = _shape(region, labeling)
    labels = np.full(shape, False if labeling.has_planes else labeling.ignore, _dtype(labeling))
    return Decided(region, labels, np.zeros(shape, np.uint16) if labeling.keep_confidence else None)


def _of_ids(rows: Rows, ids: Array, labeling: Labeling) -> Decided:
    if rows.valid is None:
        return Decided(rows.region, looked_up(ids, labeling))
    labels = np.full(ids.shape, labeling.ignore, labeling.dtype)
    labels[rows.valid] = looked_up(ids[rows.valid], labeling)
    return Decided(rows.region, labels)


def _shape(region: Region, labeling: Labeling) -> tuple[int, ...]:
    return (len(labeling.channel_ids), *region.size) if labeling.has_planes else region.size


def _dtype(labeling: Labeling) -> type[np.generic]:
    return np.bool_ if labeling.has_planes else labeling.dtype


def _divide(part: Array, weights: Array, valid: Array | None) -> None:
    """Sums become means; where there is no data, weights may be 0."""
    np.divide(part, weights if valid is None else np.where(valid, weights, 1), out=part)


def _leave_out(labels: Array, confidence: Array | None, valid: Array | None, labeling: Labeling) -> None:
    """Gives pixels without data the ignore label, and no confidence."""
    if valid is None or valid.all():
        return
    labels[..., ~valid] = False if labeling.has_planes else labeling.ignore
    if confidence is not None:
        confidence[..., ~valid] = 0


def _certainty(scores: Array, labeling: Labeling, valid: Array | None) -> int:
    """The sum of winning probabilities, in units of 1/65535, of scores `[C, R, W]`, which it overwrites."""
    units = overwriting(scores, kind=labeling.kind, measure="probability")
    units = units if units.ndim == 2 else np.rint(units.mean(axis=0)).astype(np.int64)
    return int(units.sum(dtype=np.int64) if valid is None else units[valid].sum(dtype=np.int64))


def _first(nan: Array, region: Region) -> tuple[int, int]:
    row, column = divmod(int(nan.argmax()), region.width)
    return region.top + row, region.left + column
