"""From the model's output grid back to the image: scores by bilinear interpolation, labels by nearest.

Rows are interpolated as contiguous memory and in horizontal strips, so that a strip stays in the processor's cache
and 150 classes at 12 megapixels need a few megabytes beside their logits.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from maskbeam.transforms.elements import Array, Placement

# A strip and its scratch copy stay in the cache; measured flat between 0.5 and 2 MB.
STRIP_BYTES = 2**20
# Larger planes make the C library give memory back to the system and take it again with each temporary array.
STRIP_PIXELS = 2**16
# Infinities count as this: a difference of two of them is still finite.
LARGEST = float(np.finfo(np.float32).max) / 4


@dataclass(frozen=True, eq=False)
class Axis:
    """Positions of the n pixels of one axis of an image on the model's output grid.

    Attributes:
        first: First grid cell that the image's box overlaps.
        stop: One after the last.
        low: Intp `[n]`: the grid cell before each pixel's centre, counted from `first`.
        high: Intp `[n]`: the grid cell after it; the same as `low` where the centre is the cell's, and at the edges.
        weight: Float32 `[n]`: how far the pixel's centre lies from `low` towards `high`.
        nearest: Intp `[n]`: the grid cell that holds the pixel's centre, counted from `first`.
        starts: Intp `[k]`: where the runs of pixels begin that lie between the same two cells.
        same: Whether pixels and cells are the same, so that there is nothing to interpolate.
    """

    first: int
    stop: int
    low: Array
    high: Array
    weight: Array
    nearest: Array
    starts: Array
    same: bool


@lru_cache(maxsize=64)
def locate(size: int, *, start: int, length: int, plane: int, cells: int) -> Axis:
    """Finds the pixels of one axis of an image on the model's output grid.

    Pixel i has its centre at `(start + (i + 0.5) * length / size) * cells / plane` cells from the grid's edge, and
    cell j at j + 0.5: half-pixel centres. Positions are float32 with the operations of `tf.image.resize`, so that
    both give the same bits; the nearest cell is found in integers, so that no rounding decides it. Nothing beyond
    the box, which is padding, takes part.

    Args:
        size: Pixels of the image along this axis.
        start: First pixel of its box in the input plane.
        length: Pixels of its box in the input plane.
        plane: Pixels of the input plane.
        cells: Cells of the output grid.
    """
    first, stop = start * cells // plane, -(-(start + length) * cells // plane)
    scale = np.float32(length * cells / plane) / np.float32(size)
    offset = np.float32(start * cells / plane - first)
    centre = (np.arange(size, dtype=np.float32) + np.float32(0.5)) * scale + offset - np.float32(0.5)
    centre = centre.clip(0, stop - first - 1)
    low = np.floor(centre)
    twice = (2 * np.arange(size) + 1) * length + 2 * start * size
    nearest = twice * cells // (2 * size * plane) - first
    weight = centre - low
    high = np.ceil(centre)
    starts = np.append(0, 1 + np.flatnonzero(np.diff(low) + np.diff(high)))
    same = stop - first == size and not weight.any()
    return Axis(first, stop, _index(low), _index(high), weight, _index(nearest), _index(starts), same)


def _index(cells: Array) -> Array:
    index = cells.astype(np.intp)
    index.setflags(write=False)
    return index


def axes(placement: Placement, grid: tuple[int, int]) -> tuple[Axis, Axis]:
    """The rows and columns of an image on an output grid of `grid` (h, w) cells."""
    p, (h, w) = placement, grid
    rows = locate(p.height, start=p.top, length=p.box_height, plane=p.input_height, cells=h)
    columns = locate(p.width, start=p.left, length=p.box_width, plane=p.input_width, cells=w)
    return rows, columns


def crop(scores: Array, rows: Axis, columns: Axis) -> Array:
    """The cells `[h', w', ...]` of a grid `[h, w, ...]` that the image's box overlaps; a view."""
    return scores[rows.first : rows.stop, columns.first : columns.stop]


def nearest(labels: Array, rows: Axis, columns: Axis) -> Array:
    """Gives each pixel of the image what the grid cell holds that its centre lies in.

    Args:
        labels: `[..., h', w']` of any type, cropped to the box.
        rows: Of the image on the grid.
        columns: Likewise.

    Returns:
        `[..., H, W]`, the same type.
    """
    if rows.same and columns.same:
        return labels
    return labels.take(columns.nearest, axis=-1).take(rows.nearest, axis=-2)


def strips(scores: Array, rows: Axis, columns: Axis) -> Iterator[tuple[slice, Array]]:
    """Interpolates scores to the image's size, strip by strip; bilinear, half-pixel centres, no antialiasing.

    Args:
        scores: `[h', w', C]`, what the head emits, cropped to the box.
        rows: Of the image on the grid.
        columns: Likewise.

    Yields:
        The strip's rows in the image, and its scores float32 `[C, R, W]`. They are the caller's to overwrite, and are
        gone when the next strip is asked for.
    """
    if rows.same and columns.same:
        yield from bands(scores)
        return
    step = _strip_rows(scores.shape[2], columns.low.size)
    strip, scratch = np.empty((2, step, scores.shape[2], columns.low.size), np.float32)
    for top in range(0, rows.low.size, step):
        low, high, weight = (each[top : top + step] for each in (rows.low, rows.high, rows.weight))
        wide = _across(scores[low[0] : high[-1] + 1], columns)
        part = _between(wide, low - low[0], high - low[0], weight, out=strip[: low.size], scratch=scratch[: low.size])
        yield slice(top, top + low.size), part.swapaxes(0, 1)


def bands(scores: Array) -> Iterator[tuple[slice, Array]]:
    """Yields scores `[h, w, C]` as they are, in strips as `strips` does."""
    step = _strip_rows(scores.shape[2], scores.shape[1])
    for top in range(0, scores.shape[0], step):
        part = finite(scores[top : top + step].transpose(2, 0, 1))
        yield slice(top, top + part.shape[1]), part


def _strip_rows(C: int, W: int) -> int:
    return max(1, min(STRIP_BYTES // (4 * C), STRIP_PIXELS) // W)


def _across(scores: Array, columns: Axis) -> Array:
    """Interpolates `[n, w, C]` along its columns to `[n, C, W]`."""
    by_column = finite(scores.transpose(1, 2, 0))
    wide = np.empty((columns.low.size, *by_column.shape[1:]), np.float32)
    _between(by_column, columns.low, columns.high, columns.weight, out=wide, scratch=np.empty_like(wide))
    return np.ascontiguousarray(wide.transpose(2, 1, 0))


def _between(x: Array, low: Array, high: Array, weight: Array, *, out: Array, scratch: Array) -> Array:
    """`x[low] + (x[high] - x[low]) * weight` along the first axis, into `out`."""
    # With mode="clip" numpy writes straight into `out`; its default checks indices by way of a copy.
    np.take(x, high, axis=0, out=out, mode="clip")
    np.take(x, low, axis=0, out=scratch, mode="clip")
    out -= scratch
    out *= weight[:, None, None]
    out += scratch
    return out


def finite(scores: Array) -> Array:
    """A contiguous float32 copy `[...]` in which infinities are large numbers; NaN stays NaN.

    Interpolated, they keep their meaning, where the difference of two infinities would be NaN.
    """
    copy = np.empty(scores.shape, np.float32)
    np.copyto(copy, scores, casting="same_kind")
    return np.clip(copy, -LARGEST, LARGEST, out=copy)
