"""Scores of windows become scores of an image, piece by piece: only what two rows of windows share is held.

Each pixel adds its windows in one order, row by row of the image's windows, in float32: whatever the division into
spans and blocks, and whichever window comes first, its sum has the same bits.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from maskbeam.transforms.elements import Array, LogitsBatch, Region
from maskbeam.transforms.resampling import upsample
from maskbeam.transforms.tiling.layout import Layout, Span, Tiling
from maskbeam.transforms.tiling.weights import NEAREST, weights

# Up to so many channels a weight is written out for each score: numpy then multiplies them several times as fast.
_FEW = 32


class Rows(NamedTuple):
    """Rows of an image that no further window touches.

    Attributes:
        region: Where they lie; not over all of the image's width.
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
    """The scores of a span, added up window by window, in pieces of its width that are complete one after the other.

    Between two rows of windows a piece holds the pixels that both have a say in, and no others.
    """

    def __init__(self, layout: Layout, span: Span) -> None:
        self._layout = layout
        self._region = layout.region(span)
        self._windows = layout.windows_of(span)
        self._across = sum(window.top == self._windows[0].top for window in self._windows)
        self._pieces = [_Piece(layout.tiling, region) for region in layout.pieces(span)]
        self._early: dict[int, LogitsBatch | None] = {}
        self._next = 0
        # The first piece that this row of windows has not passed.
        self._first = 0

    def add(self, number: int, batch: LogitsBatch | None) -> Iterator[Rows]:
        """Adds the scores of a window, and gives the rows that are complete by it.

        Args:
            number: The window's place among the span's; one that comes before its turn is kept.
            batch: Its scores, a batch of one; None for a window without data.
        """
        self._early[number] = batch
        while self._next in self._early:
            self._add(self._windows[self._next], self._early.pop(self._next))
            self._next += 1
            yield from self._complete()

    def _add(self, window: Region, batch: LogitsBatch | None) -> None:
        scores = None if batch is None else _at_image_size(batch)
        valid = np.broadcast_to(np.False_, window.size) if batch is None else batch.images[0].valid
        reach = self._layout.reach(window)
        for piece in self._pieces[self._first :]:
            if piece.left >= reach.left + reach.width:
                break
            piece.add(window, reach, scores, valid)

    def _complete(self) -> Iterator[Rows]:
        """The rows above the next row of windows, of pieces that this row has passed."""
        row, column = divmod(self._next, self._across)
        # Windows that were added of this row, or all of the row before.
        left = self._layout.reach(self._windows[self._next]).left if column else self._right
        below = self._below(row + 1 if column else row)
        while self._first < len(self._pieces) and self._pieces[self._first].right <= left:
            yield from self._pieces[self._first].complete(below)
            self._first += 1
        self._first = self._first if column else 0

    def _below(self, row: int) -> int:
        """The first row of pixels that a row of windows has a say in, or that below the span."""
        first = row * self._across
        bottom = self._region.top + self._region.height
        return self._layout.reach(self._windows[first]).top if first < len(self._windows) else bottom

    @property
    def _right(self) -> int:
        return self._region.left + self._region.width


class _Piece:
    """A part of a canvas: sums of its rows from `_top` on, as far down as windows were added."""

    def __init__(self, tiling: Tiling, region: Region) -> None:
        self._tiling, self._region = tiling, region
        self.left, self.right = region.left, region.left + region.width
        self._top = region.top
        self._sums: Array | None = None
        self._weights: Array | None = None
        self._void: Array | None = None

    def add(self, window: Region, reach: Region, scores: Array | None, valid: Array | None) -> None:
        """Adds what lies here of a window.

        Args:
            window: Where it lies.
            reach: The pixels that it has a say in.
            scores: `[h, w, C]`, or ids `[h, w]`; None of a window without data.
            valid: Bool `[h, w]`, False where there is no data, of which all windows say the same; None: True.
        """
        part = reach.common(self._region)
        place, inside = _slices(part, self._top, self.left), _slices(part, window.top, window.left)
        if valid is not None:
            self._void = self._whole(self._void, np.bool_)
            self._void[place] = ~valid[inside]
        if scores is not None:
            self._paint(scores[inside], place, inside)

    def complete(self, below: int) -> Iterator[Rows]:
        """Hands on the rows above `below`, if there are any."""
        count = below - self._top
        if count <= 0:
            return
        held = (self._sums, self._weights, self._void)
        sums, total, void = (None if each is None else self._whole(each, each.dtype) for each in held)
        # What is handed on is the receiver's.
        self._sums, self._weights, self._void = (None if a is None else a[count:].copy() for a in (sums, total, void))
        done, weighed = (None if each is None else each[:count] for each in (sums, total))
        region = replace(self._region, top=self._top, height=count)
        yield Rows(region, done, weighed, None if void is None else ~void[:count])
        self._top = below

    def _paint(self, scores: Array, place: tuple[slice, slice], inside: tuple[slice, slice]) -> None:
        window, blend, channels = self._tiling.window, self._tiling.blend, self._tiling.channels
        if blend == NEAREST:
            self._sums = self._whole(self._sums, scores.dtype, *scores.shape[2:])
            self._sums[place] = scores
            return
        self._sums = self._whole(self._sums, np.dtype(np.float32), *scores.shape[2:])
        self._weights = self._whole(self._weights, np.dtype(np.float32))
        weighted = upsample.finite(scores)
        weighted *= _of_scores(*window, blend, channels)[inside]
        self._sums[place] += weighted
        self._weights[place] += weights(*window, blend)[inside]

    def _whole(self, held: Array | None, dtype: Any, *channels: int) -> Array:
        """An array as high as a window; what is held lies at its top, and 0 is below."""
        height = self._tiling.window[0]
        if held is not None and len(held) == height:
            return held
        whole = np.zeros((height, self._region.width, *(channels if held is None else held.shape[2:])), dtype)
        if held is not None:
            whole[: len(held)] = held
        return whole


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
