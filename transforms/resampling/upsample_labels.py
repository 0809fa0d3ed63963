"""Labels at the image's size where interpolating all scores is not needed to know them.

Between four cells of the model's grid interpolation mixes their scores with weights that sum to one. A class that has
the largest score at all four has it between them, too, and a score above the threshold at all four stays above it. So
only pixels between cells that disagree are interpolated: those along the edges of what is seen, usually a tenth.
"""

from collections.abc import Callable

import numpy as np

from maskbeam.transforms.elements import Array
from maskbeam.transforms.resampling.upsample import STRIP_BYTES, Axis, bands, finite

# A pixel between cells that disagree costs several times what it costs in a strip, and the cells are looked at first.
MOST_UNSETTLED = 1 / 4
LEAST_PIXELS_PER_CELL = 2
# Two interpolations in float32 are off by a few of its smallest steps, relative to the largest score of all: a lead
# that is smaller than this may be lost between two cells, and does not count.
ROUNDING = 64 * float(np.finfo(np.float32).eps)


def leads(cells: Array) -> Array:
    """By how much the largest of finite scores `[C, ...]` exceeds all others `[...]`; NaN where any of them is."""
    first, second = cells[0], np.full_like(cells[0], -np.inf)
    for scores in cells[1:]:
        first, second = np.maximum(first, scores), np.maximum(second, np.minimum(first, scores))
    lead: Array = first - second
    return lead


def upsample_decided(
    scores: Array, rows: Axis, columns: Axis, *, decide: Callable[[Array], Array], lead: Callable[[Array], Array]
) -> Array | None:
    """Gives each pixel of the image the label that its interpolated scores have, as `strips` interpolates them.

    Args:
        scores: `[h, w, C]`, what the head emits, cropped to the box.
        rows: Of the image on the grid.
        columns: Likewise.
        decide: Gives labels `[...]` of finite scores `[C, ...]`, float32; may overwrite them.
        lead: Gives by how much such scores are on the side of their label `[...]`; NaN where that cannot be said.

    Returns:
        `[H, W]`, of the type that `decide` gives; None where strips are faster, because much is left to interpolate
        or the image is hardly larger than the grid, and where the pixels between four cells alone exceed a strip.
    """
    height, width = _longest(rows), _longest(columns)
    step = STRIP_BYTES // (4 * scores.shape[2] * height * width)
    pixels, cells = rows.low.size * columns.low.size, scores.shape[0] * scores.shape[1]
    if not step or pixels < LEAST_PIXELS_PER_CELL * cells:
        return None
    labels, certain = _on_grid(scores, decide, lead)
    unsettled = ~_agreeing(labels, certain, rows, columns)
    if np.count_nonzero(unsettled) * height * width > MOST_UNSETTLED * pixels:
        return None
    settled: Array = labels.take(columns.low, axis=1).take(rows.low, axis=0)
    down, across = np.nonzero(unsettled)
    for start in range(0, down.size, step):
        i = _pixels(rows, down[start : start + step], height)
        j = _pixels(columns, across[start : start + step], width)
        settled[i[:, np.newaxis], j] = decide(_interpolated(scores, rows, columns, i, j))
    return settled


def _on_grid(scores: Array, decide: Callable[[Array], Array], lead: Callable[[Array], Array]) -> tuple[Array, Array]:
    """Each cell's label, and whether it keeps it for certain where its neighbours have the same."""
    labels, leading, largest = [], [], np.float32(0)
    for _, cells in bands(scores):
        leading.append(lead(cells))
        # NaN if there is one: then nothing is certain.
        largest = np.maximum(largest, np.abs(cells).max())
        labels.append(decide(cells))
    return np.concatenate(labels), np.concatenate(leading) > ROUNDING * largest


def _agreeing(labels: Array, certain: Array, rows: Axis, columns: Axis) -> Array:
    """True if the four cells around each run of rows and of columns have one label and are certain of it."""
    above, below = rows.low[rows.starts], rows.high[rows.starts]
    before, after = columns.low[columns.starts], columns.high[columns.starts]
    upper, lower = labels[above], labels[below]
    alike = (upper == lower) & certain[above] & certain[below]
    agreeing: Array = (upper[:, before] == upper[:, after]) & alike[:, before] & alike[:, after]
    return agreeing


def _ends(axis: Axis) -> Array:
    return np.append(axis.starts[1:], axis.low.size)


def _longest(axis: Axis) -> int:
    return int((_ends(axis) - axis.starts).max())


def _pixels(axis: Axis, runs: Array, longest: int) -> Array:
    """The pixels `[longest, n]` of runs `[n]`; shorter ones repeat their last."""
    ahead = axis.starts[runs] + np.arange(longest)[:, np.newaxis]
    pixels: Array = np.minimum(ahead, _ends(axis)[runs] - 1)
    return pixels


def _interpolated(scores: Array, rows: Axis, columns: Axis, i: Array, j: Array) -> Array:
    """Scores `[C, R, S, n]` of n blocks of pixels, each between four cells.

    Blocks lie along the last axis, because numpy is slow where that is short.

    Args:
        scores: As `upsample_decided` takes them.
        rows: Of the image on the grid.
        columns: Likewise.
        i: The rows of each block `[R, n]`.
        j: The columns of each block `[S, n]`.
    """
    before, after = columns.low[j[0]], columns.high[j[0]]
    upper, lower = (
        _between(finite(scores[row, before].T), finite(scores[row, after].T), columns.weight[j])
        for row in (rows.low[i[0]], rows.high[i[0]])
    )
    return _between(upper, lower, rows.weight[i][:, np.newaxis])


def _between(low: Array, high: Array, weight: Array) -> Array:
    """Mixes scores `[C, ..., n]` by weights `[R, ..., n]`, to `[C, R, ..., n]`."""
    # In the order of operations of `strips`, for the same bits.
    mixed = (high - low)[:, np.newaxis] * weight
    mixed += low[:, np.newaxis]
    return mixed
