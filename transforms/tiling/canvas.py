"""Scores of windows become scores of an image, some rows of it at a time: a window's height is all that is ever held.

Each pixel adds its windows in one order, row by row of the image's windows, in float32: whatever the division into
spans and blocks, and whichever window comes first, its sum has the same bits.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from maskbeam.transforms.elements import Array, LogitsBatch, Region
from maskbeam.transforms.resampling import upsample
from maskbeam.transforms.tiling.layout import Layout, Span
from maskbeam.transforms.tiling.weights import NEAREST, weights

# Up to so many channels a weight is written out for each score: numpy then multiplies them several times as fast.
_FEW = 32


class Rows(NamedTuple):
    """Rows of an image that no further window touches.

    Attributes:
        region: Where they lie.
        scores: `[R, W, C]` float32, sums of weighted scores; class ids `[R, W]` of a model that emits those. None
            where no pixel has data.
        weights: `[R, W]` float32, sums of weights; None where each pixel is one window's.
        valid: Bool `[R, W]`, False where there is no data; None: there is data everywhere.
    """

    region: Region
    scores: Array | None
    weights: Array | None = None
    valid: Array | None = None


class Canvas:
    """The scores of a span, added up window by window."""

    def __init__(self, layout: Layout, span: Span) -> None:
        self._layout = layout
        self._region = layout.region(span)
        self._windows = layout.windows_of(span)
        self._early: dict[int, LogitsBatch | None] = {}
        self._next = 0
        self._top = self._region.top
        self._sums: Array | None = None
        self._weights: Array | None = None
        self._void: Array | None = None

    def add(self, number: int, batch: LogitsBatch | None) -> Iterator[Rows]:
        """Adds the scores of a window, and gives the rows that are complete by it.

        Args:
            number: The window's place among the span's; one that comes before its turn is kept.
            batch: Its scores, a batch of one; None for a window without data.
        """
        self._early[number] = batch
        while self._next in self._early:
            turn, window = self._early.pop(self._next), self._windows[self._next]
            self._mark(window, turn)
            if turn is not None:
                self._paint(window, turn)
            self._next += 1
            yield from self._complete()

    @property
    def is_complete(self) -> bool:
        """True once all of the span's windows were added."""
        return self._next == len(self._windows)

    def _mark(self, window: Region, batch: LogitsBatch | None) -> None:
        """Notes where a window has no data; all windows of a pixel say the same of it."""
        valid = None if batch is None else batch.images[0].valid
        if batch is not None and valid is None:
            return
        part = window.common(self._region)
        if self._void is None:
            self._void = np.zeros((self._layout.tiling.window[0], self._region.width), np.bool_)
        place = _slices(part, self._top, self._region.left)
        self._void[place] = True if valid is None else ~valid[_slices(part, window.top, window.left)]

    def _paint(self, window: Region, batch: LogitsBatch) -> None:
        scores, tiling = _at_image_size(batch), self._layout.tiling
        part = self._layout.reach(window).common(self._region)
        sums, place, inside = (
            self._held(scores),
            _slices(part, self._top, self._region.left),
            _slices(part, window.top, window.left),
        )
        if self._weights is None:
            sums[place] = scores[inside]
            return
        weighted = upsample.finite(scores[inside])
        weighted *= _of_scores(*tiling.window, tiling.blend, tiling.channels)[inside]
        sums[place] += weighted
        self._weights[place] += weights(*tiling.window, tiling.blend)[inside]

    def _held(self, scores: Array) -> Array:
        """The sums `[window, W, C]`; made when the first scores come."""
        if self._sums is None:
            shape = (self._layout.tiling.window[0], self._region.width)
            if self._layout.tiling.blend == NEAREST:
                self._sums = np.empty((*shape, *scores.shape[2:]), scores.dtype)
            else:
                self._sums = np.zeros((*shape, *scores.shape[2:]), np.float32)
                self._weights = np.zeros(shape, np.float32)
        return self._sums

    def _complete(self) -> Iterator[Rows]:
        """The rows above the next window, where that begins another row of windows."""
        region = self._region
        bottom = region.top + region.height
        below = bottom if self.is_complete else self._layout.reach(self._windows[self._next]).top
        if below <= self._top:
            return
        count = below - self._top
        sums, held, void = (None if a is None else a[:count] for a in (self._sums, self._weights, self._void))
        yield Rows(Region(self._top, region.left, count, region.width), sums, held, None if void is None else ~void)
        # What was handed on is the receiver's.
        self._sums, self._weights, self._void = (
            None if a is None else _rolled(a, count) for a in (self._sums, self._weights, self._void)
        )
        self._top = below


def _at_image_size(batch: LogitsBatch) -> Array:
    """Scores `[h, w, C]`, or ids `[h, w]`, for each pixel of a window that lies in the image."""
    scores = batch.logits[0]
    rows, columns = upsample.axes(batch.images[0].placement, scores.shape[:2])
    cropped = upsample.crop(scores, rows, columns)
    if rows.same and columns.same:
        return cropped
    if scores.ndim == 2:
        return upsample.nearest(cropped, rows, columns)
    whole = np.empty((rows.low.size, columns.low.size, scores.shape[2]), np.float32)
    for strip, values in upsample.strips(cropped, rows, columns):
        whole[strip] = values.transpose(1, 2, 0)
    return whole


@lru_cache(maxsize=4)
def _of_scores(height: int, width: int, blend: str, channels: int) -> Array:
    """Weights `[height, width, C]`, or `[height, width, 1]` of many channels."""
    each = weights(height, width, blend)[..., np.newaxis]
    return np.repeat(each, channels, axis=2) if channels <= _FEW else each


def _slices(part: Region, top: int, left: int) -> tuple[slice, slice]:
    """A region's rows and columns in an array that begins at `top` and `left`."""
    return (
        slice(part.top - top, part.top - top + part.height),
        slice(part.left - left, part.left - left + part.width),
    )


def _rolled(sums: Array, count: int) -> Array:
    """A new array without the first rows, and with as many empty ones at the end."""
    rolled = np.zeros_like(sums)
    rolled[: len(sums) - count] = sums[count:]
    return rolled
