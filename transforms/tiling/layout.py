"""The division of an image: into windows for the model, and into blocks, the pieces of output that work is saved by.

All of it follows from the image's size and the run's options, so that every restart and every worker divides an image
alike. Windows never depend on blocks: a window sees the same pixels in every division.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from itertools import pairwise
from typing import NamedTuple

from maskbeam.transforms.elements import Region
from maskbeam.transforms.tiling.weights import NEAREST
from maskbeam.transforms.tiling.windows import borders, starts, stride_of

# Scores of a window's height over the width of a column, of which those that two rows of windows share are held; and
# pixels of a block.
SUMS_BYTES = 256 << 20
BLOCK_PIXELS = 16 << 20
# Scores add up in so many pieces of the width of the widest column, one after the other.
_PIECES = 32
# A column is at least as wide as so many strides: its edges' windows are computed for both of its sides.
_LEAST_STRIDES = 4


@dataclass(frozen=True)
class Tiling:
    """The way in which images are cut into windows and put together again.

    Attributes:
        window: Height and width of what the model sees at once.
        overlap: Share of a window that the next one sees, too, 0..0.75.
        blend: A name in `weights.BLENDS`.
        channels: Scores of a pixel.
        block_pixels: Pixels of a block, about.
        sums_bytes: Bytes of the scores that are added up at once.
    """

    window: tuple[int, int]
    overlap: float = 0.25
    blend: str = "hann"
    channels: int = 1
    block_pixels: int = BLOCK_PIXELS
    sums_bytes: int = SUMS_BYTES

    @property
    def stride(self) -> tuple[int, int]:
        """Pixels from one window to the next, down and across."""
        return stride_of(self.window[0], self.overlap), stride_of(self.window[1], self.overlap)

    def layout(self, size: tuple[int, int]) -> "Layout":
        """The division of an image of this height and width."""
        return _layout(self, size)


class Block(NamedTuple):
    """A piece of an image's output: its number, that of its column, and where it lies."""

    number: int
    column: int
    region: Region


class Span(NamedTuple):
    """Blocks of one column, one below the other, computed in one go: the numbers of the first and of the last."""

    first: int
    last: int


@dataclass(frozen=True)
class Layout:
    """The division of images of one size.

    Attributes:
        tiling: How they are cut.
        size: Height and width of the image.
    """

    tiling: Tiling
    size: tuple[int, int]

    @cached_property
    def rows(self) -> tuple[int, ...]:
        """The first row of each row of windows."""
        return starts(self.size[0], self.tiling.window[0], self.tiling.stride[0])

    @cached_property
    def columns(self) -> tuple[int, ...]:
        """The first column of each column of windows."""
        return starts(self.size[1], self.tiling.window[1], self.tiling.stride[1])

    @property
    def windows(self) -> int:
        """The number of windows of the whole image."""
        return len(self.rows) * len(self.columns)

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """All blocks, one column after the other, from its top to its bottom."""
        return tuple(_blocks(self))

    @property
    def is_one_block(self) -> bool:
        """True of an image that is one piece of work."""
        return len(self.blocks) == 1

    def spans(self, done: Collection[int] = ()) -> Iterator[Span]:
        """The spans to be done: the longest spans of blocks that are not done, in order."""
        first = None
        for block, after in zip(self.blocks, (*self.blocks[1:], None), strict=True):
            if block.number in done:
                continue
            first = block.number if first is None else first
            if after is None or after.column != block.column or after.number in done:
                yield Span(first, block.number)
                first = None

    def region(self, span: Span) -> Region:
        """The part of the image that a span's blocks fill."""
        first, last = self.blocks[span.first].region, self.blocks[span.last].region
        return Region(first.top, first.left, last.top + last.height - first.top, first.width)

    def windows_of(self, span: Span) -> list[Region]:
        """The windows that a span's pixels need, row by row; none reaches beyond the image."""
        region = self.region(span)
        rows = self._needed(0, region.top, region.top + region.height)
        columns = self._needed(1, region.left, region.left + region.width)
        return [self._window(self.rows[row], self.columns[column]) for row in rows for column in columns]

    def pieces(self, span: Span) -> list[Region]:
        """The parts of a span's width, complete one after the other; each begins where a window's say does."""
        region = self.region(span)
        width = max(1, _column_width(self.tiling) // _PIECES)
        cuts = [region.left]
        for number in self._needed(1, region.left, region.left + region.width):
            left = self._reached(1, number)[0]
            if left - cuts[-1] >= width:
                cuts.append(left)
        return [
            replace(region, left=left, width=right - left)
            for left, right in pairwise((*cuts, region.left + region.width))
        ]

    def reach(self, window: Region) -> Region:
        """The pixels that a window has a say in: all of its own, or those to which no other window is nearer."""
        if self.tiling.blend != NEAREST:
            return window
        top, bottom = self._owned(0, self.rows.index(window.top))
        left, right = self._owned(1, self.columns.index(window.left))
        return Region(top, left, bottom - top, right - left)

    def _window(self, top: int, left: int) -> Region:
        height, width = (min(s, w) for s, w in zip(self.size, self.tiling.window, strict=True))
        return Region(top, left, height, width)

    def _needed(self, axis: int, start: int, stop: int) -> list[int]:
        """The windows along an axis that pixels `[start, stop)` need."""
        reaches = map(partial(self._reached, axis), range(len(self.rows if axis == 0 else self.columns)))
        return [number for number, (first, end) in enumerate(reaches) if first < stop and end > start]

    def _reached(self, axis: int, number: int) -> tuple[int, int]:
        if self.tiling.blend == NEAREST:
            return self._owned(axis, number)
        start = (self.rows if axis == 0 else self.columns)[number]
        return start, start + self.tiling.window[axis]

    def _owned(self, axis: int, number: int) -> tuple[int, int]:
        edges = borders(self.size[axis], self.tiling.window[axis], self.tiling.stride[axis])
        return edges[number], edges[number + 1]


@lru_cache(maxsize=32)
def _layout(tiling: Tiling, size: tuple[int, int]) -> Layout:
    return Layout(tiling, size)


def _blocks(layout: Layout) -> Iterator[Block]:
    columns = _pieces(layout, 1, _column_width(layout.tiling))
    number = 0
    for column, (left, right) in enumerate(columns):
        for top, bottom in _pieces(layout, 0, layout.tiling.block_pixels // (right - left)):
            yield Block(number, column, Region(top, left, bottom - top, right - left))
            number += 1


def _column_width(tiling: Tiling) -> int:
    widest = tiling.sums_bytes // (tiling.window[0] * 4 * (tiling.channels + 1))
    return max(widest, _LEAST_STRIDES * tiling.stride[1])


def _pieces(layout: Layout, axis: int, longest: int) -> list[tuple[int, int]]:
    """Cuts an axis into pieces of about equal length, none much longer than `longest`, where windows meet."""
    size, tiling = layout.size[axis], layout.tiling
    edges = (
        borders(size, tiling.window[axis], tiling.stride[axis])
        if tiling.blend == NEAREST
        else (*(layout.rows if axis == 0 else layout.columns), size)
    )
    count = max(1, min(-(-size // max(1, longest)), len(edges) - 1))
    cuts = sorted({min(edges, key=lambda edge: abs(edge - size * i / count)) for i in range(count + 1)})
    return list(pairwise(cuts))
