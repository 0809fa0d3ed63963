import tracemalloc

import numpy as np
import pytest

from maskbeam.transforms.elements import LogitsBatch, ModelInput, Origin, Placement, Region, Source
from maskbeam.transforms.tiling.canvas import Canvas
from maskbeam.transforms.tiling.layout import Layout, Span, Tiling

WINDOW, CHANNELS = 32, 8


def wide_layout(width: int, overlap: float) -> Layout:
    """One block of four rows of windows, whose sums over all of its width are what a column may have."""
    sums = WINDOW * width * 4 * (CHANNELS + 1)
    return Tiling((WINDOW, WINDOW), overlap, "hann", CHANNELS, sums_bytes=sums).layout((4 * WINDOW, width))


def batch(layout: Layout, region: Region) -> LogitsBatch:
    placement = Placement(*region.size, *region.size, 0, 0, *region.size)
    image = ModelInput(Origin("", Source("", ""), layout.size), region, placement, np.empty(0, np.uint8))
    none = np.zeros(1, np.int64)
    return LogitsBatch((image,), np.ones((1, *region.size, CHANNELS), np.float32), none, none)


@pytest.mark.parametrize(("overlap", "share"), [(0.0, 0.15), (0.25, 0.4)])
def test_what_two_rows_of_windows_share_is_all_that_is_held_of_the_width(overlap: float, share: float) -> None:
    layout = wide_layout(100 * WINDOW, overlap)
    canvas, seen = Canvas(layout, Span(0, 0)), 0
    batches = [batch(layout, region) for region in layout.windows_of(Span(0, 0))]
    tracemalloc.start()
    for number, each in enumerate(batches):
        seen += sum(rows.region.height * rows.region.width for rows in canvas.add(number, each))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seen == layout.size[0] * layout.size[1]
    assert peak < share * layout.tiling.sums_bytes
