from math import exp, pi

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskbeam.transforms.elements import Region
from maskbeam.transforms.tiling.layout import Tiling
from maskbeam.transforms.tiling.weights import BLENDS, NEAREST, weights
from maskbeam.transforms.tiling.windows import borders, starts, stride_of
from tests.support.tiling import plain_starts

SIDES = st.integers(1, 200)


@given(SIDES, st.integers(1, 50), st.integers(1, 50))
def test_windows_begin_where_a_plain_loop_puts_them(size: int, window: int, stride: int) -> None:
    assert list(starts(size, window, stride)) == plain_starts(size, window, stride)


@given(SIDES, st.integers(2, 40), st.sampled_from((0.0, 0.25, 0.5, 0.75)))
def test_each_pixel_is_the_window_s_whose_centre_is_nearest(size: int, window: int, overlap: float) -> None:
    stride = stride_of(window, overlap)
    firsts, edges = starts(size, window, stride), borders(size, window, stride)
    owners = [next(i for i in range(len(firsts)) if edges[i] <= x < edges[i + 1]) for x in range(size)]
    for x, owner in enumerate(owners):
        distances = [abs(2 * (first - x) + window - 1) for first in firsts]
        assert owner == distances.index(min(distances))


@pytest.mark.parametrize(
    ("window", "overlap", "stride"), [(512, 0.25, 384), (10, 0.7, 3), (5, 0.75, 1), (2, 0.75, 1)]
)
def test_the_stride_is_whole(window: int, overlap: float, stride: int) -> None:
    assert stride_of(window, overlap) == stride


def test_weights_are_the_formulas_that_are_named() -> None:
    height, width = 6, 9
    rows = [0.5 - 0.5 * np.cos(2 * pi * (i + 0.5) / height) for i in range(height)]
    columns = [0.5 - 0.5 * np.cos(2 * pi * (i + 0.5) / width) for i in range(width)]
    assert np.allclose(weights(height, width, "hann"), np.outer(rows, columns), rtol=1e-5)
    assert (weights(height, width, "hann") > 0).all()
    # MONAI: a Gaussian of 1/8 of each side, its least value at least 0.001.
    rows = [exp(-((i - 2.5) ** 2) / (2 * (height / 8) ** 2)) for i in range(height)]
    columns = [exp(-((i - 4) ** 2) / (2 * (width / 8) ** 2)) for i in range(width)]
    assert np.allclose(weights(height, width, "gaussian"), np.maximum(np.outer(rows, columns), 1e-3), rtol=1e-4)
    assert (weights(height, width, "constant") == 1).all()
    with pytest.raises(ValueError, match="nearest"):
        weights(height, width, NEAREST)


@given(
    st.tuples(SIDES, SIDES),
    st.tuples(st.integers(2, 30), st.integers(2, 30)),
    st.sampled_from((0.0, 0.25, 0.75)),
    st.sampled_from(BLENDS),
    st.integers(1, 9000),
    st.integers(1, 20000),
)
def test_blocks_cover_an_image_once(
    size: tuple[int, int], window: tuple[int, int], overlap: float, blend: str, pixels: int, sums: int
) -> None:
    layout = Tiling(window, overlap, blend, 3, pixels, sums).layout(size)
    seen = np.zeros(size, int)
    for block in layout.blocks:
        r = block.region
        seen[r.top : r.top + r.height, r.left : r.left + r.width] += 1
    assert (seen == 1).all()
    assert [block.number for block in layout.blocks] == list(range(len(layout.blocks)))
    for span in layout.spans():
        region, needed = layout.region(span), layout.windows_of(span)
        height, width = (min(pair) for pair in zip(size, window, strict=True))
        every = [Region(top, left, height, width) for top in layout.rows for left in layout.columns]
        assert needed == [each for each in every if min(layout.reach(each).common(region).size) > 0]


@pytest.mark.parametrize(("size", "blocks"), [((3000, 4000), 1), ((4096, 4097), 2), ((10980, 10980), 8)])
def test_a_photograph_is_one_piece_and_a_scene_is_several(size: tuple[int, int], blocks: int) -> None:
    layout = Tiling((128, 128), 0.25, "hann", 5).layout(size)
    assert len(layout.blocks) == blocks
    assert len({block.column for block in layout.blocks}) == 1


def test_no_window_is_computed_twice_within_a_column() -> None:
    for blend in BLENDS:
        layout = Tiling((128, 128), 0.25, blend, 5).layout((10980, 10980))
        assert sum(len(layout.windows_of(span)) for span in layout.spans()) == layout.windows


def test_nearest_computes_no_window_for_two_columns() -> None:
    layout = Tiling((16, 16), 0.25, NEAREST, 5, 3000, 20000).layout((300, 300))
    assert len({block.column for block in layout.blocks}) > 2
    assert sum(len(layout.windows_of(span)) for span in layout.spans()) == layout.windows


def test_a_region_of_both() -> None:
    assert Region(2, 3, 4, 5).common(Region(4, 1, 9, 4)) == Region(4, 3, 2, 2)
    assert Region(0, 0, 2, 2).common(Region(5, 5, 1, 1)).size == (0, 0)
