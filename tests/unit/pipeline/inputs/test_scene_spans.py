"""How the work on scenes is cut: into columns, and where there are few scenes or large ones into parts of columns."""

from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskbeam.pipeline.inputs.anonymous import PLAIN
from maskbeam.pipeline.inputs.listing import list_chunks
from maskbeam.pipeline.inputs.read import read_chunk
from maskbeam.pipeline.inputs.readers.rules import RasterRules
from maskbeam.pipeline.inputs.scenes import Scene, Scenes, spans_of
from maskbeam.pipeline.options import ReadOptions
from maskbeam.transforms.elements import EncodedImage, Origin, Source
from maskbeam.transforms.tiling.layout import Layout, Tiling
from tests.support.rasters import planes, write_raster

TILING = Tiling((16, 16), channels=3, block_pixels=700, sums_bytes=4000)
# One of few blocks, one of many; both of several columns.
SMALL, LARGE = TILING.layout((90, 150)), TILING.layout((200, 260))


def lengths(layout: Layout, *, spread: bool, is_first: bool, done: frozenset[int] = frozenset()) -> list[int]:
    scene = Scene(Origin("a", Source("a.tif", "1"), layout.size), is_first)
    return [last - first + 1 for first, last in spans_of(scene, layout, done, spread=spread)]


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("layout", [SMALL, LARGE])
def test_on_one_machine_a_column_is_one_piece_of_work(layout: Layout, is_first: bool) -> None:
    columns = 1 + layout.blocks[-1].column
    assert columns > 1
    assert len(lengths(layout, spread=False, is_first=is_first)) == columns


def test_few_scenes_and_large_ones_are_work_for_many() -> None:
    assert len(SMALL.blocks) <= 64 < len(LARGE.blocks)
    assert max(lengths(SMALL, spread=True, is_first=True)) == 4
    assert max(lengths(LARGE, spread=True, is_first=False)) == 4
    assert lengths(SMALL, spread=True, is_first=False) == lengths(SMALL, spread=False, is_first=False)


@given(
    st.tuples(st.integers(17, 260), st.integers(17, 260)), st.booleans(), st.booleans(), st.sets(st.integers(0, 99))
)
def test_every_block_that_is_not_done_is_done_once_and_spans_stay_in_their_columns(
    size: tuple[int, int], spread: bool, is_first: bool, done: set[int]
) -> None:
    layout = TILING.layout(size)
    scene = Scene(Origin("a", Source("a.tif", "1"), size), is_first)
    spans = list(spans_of(scene, layout, frozenset(done), spread=spread))
    blocks = list(chain.from_iterable(range(first, last + 1) for first, last in spans))
    assert blocks == [block.number for block in layout.blocks if block.number not in done]
    assert all(layout.blocks[first].column == layout.blocks[last].column for first, last in spans)


def found(folder: Path, count: int) -> list[Any]:
    scenes = Scenes(RasterRules(), 3, TILING, PLAIN)
    write_raster(folder / "000.tif", planes(3, 60, 70))
    for number in range(1, count):
        (folder / f"{number:03}.tif").hardlink_to(folder / "000.tif")
    images = chain.from_iterable(
        read_chunk(chunk, ReadOptions()) for chunk in list_chunks(str(folder), ReadOptions())
    )
    return [scenes(image).value for image in images if isinstance(image, EncodedImage)]


def test_the_first_scenes_of_a_listing_are_known_as_such(tmp_path: Path) -> None:
    scenes = found(tmp_path, 41)
    assert [scene.is_first for scene in scenes[:15]] == [True] * 15
    assert sum(scene.is_first for scene in scenes) <= 16
    assert len(scenes) == 41
