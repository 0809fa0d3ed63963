from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskbeam.transforms.elements import Array, Grid, GroundPoint, GroundPoints, Labels, Origin, Region, Source
from maskbeam.transforms.geo.area import pixel_areas
from maskbeam.transforms.measures.area import AREA, Area, km2
from maskbeam.transforms.measures.counted import Counted, Sums, count

UTM = Grid("EPSG:32633", (10.0, 0.0, 500000.0, 0.0, -10.0, 5600000.0))
DEGREES = Grid("EPSG:4326", (0.01, 0.0, 10.0, 0.0, -0.01, 60.0))
WORLD = Grid("EPSG:4326", (10.0, 0.0, -180.0, 0.0, -10.0, 90.0))
IDS = (0, 1, 2)
SIZE = 12, 7


def labels_at(grid: Any, pixels: Array, region: Region | None = None) -> Labels:
    size = SIZE if region else (int(pixels.shape[-2]), int(pixels.shape[-1]))
    return Labels(Origin("a", Source("a", "1"), size, grid), region or Region.whole(size), pixels)


def of_chance(seed: int = 0) -> Array:
    labels = np.random.default_rng(seed).integers(0, 4, SIZE).astype(np.uint8)
    labels[labels == 3] = 255
    return labels


@pytest.mark.parametrize("grid", [UTM, DEGREES])
def test_areas_are_those_of_a_plain_loop_over_pixels(grid: Grid) -> None:
    labels = of_chance()
    areas = np.broadcast_to(np.asarray(pixel_areas(grid, Region.whole(SIZE))), SIZE)
    expected = dict.fromkeys(IDS, 0)
    for label, area in zip(labels.ravel().tolist(), areas.ravel().tolist(), strict=True):
        if label in expected:
            expected[label] += area
    found = AREA.of(labels_at(grid, labels), IDS)
    assert found.by_class == expected
    assert km2(found, 0) == pytest.approx(expected[0] / 1e12)


@given(st.integers(1, SIZE[0] - 1), st.integers(1, SIZE[1] - 1), st.integers(0, 5))
def test_parts_add_up_to_their_image(row: int, column: int, seed: int) -> None:
    labels = of_chance(seed)
    parts = []
    for top, bottom in ((0, row), (row, SIZE[0])):
        for left, right in ((0, column), (column, SIZE[1])):
            region = Region(top, left, bottom - top, right - left)
            parts.append(count(labels_at(DEGREES, labels[top:bottom, left:right], region), IDS))
    assert sum(parts[1:], parts[0])[AREA] == AREA.of(labels_at(DEGREES, labels), IDS)


def test_planes_of_classes_that_overlap_count_each_for_itself() -> None:
    planes = np.random.default_rng(1).integers(0, 2, (3, *SIZE)).astype(np.bool_)
    found = AREA.of(labels_at(UTM, planes), IDS)
    assert found.by_class == {i: int(planes[i].sum()) * 100 * 10**6 for i in IDS}


@pytest.mark.parametrize(
    ("grid", "crs"),
    [
        (None, ""),
        (Grid("", UTM.transform), ""),
        (GroundPoints("EPSG:32633", (GroundPoint(0, 0, 1, 1),)), "EPSG:32633"),
        (Grid('ENGCRS["a hall",EDATUM["it"],CS[Cartesian,2],AXIS["x",east],AXIS["y",north],LENGTHUNIT["metre",1]]',
              UTM.transform), "a hall"),
    ],
)  # fmt: skip
def test_where_lengths_are_not_told_there_is_no_area_and_not_zero(grid: Any, crs: str) -> None:
    found = AREA.of(labels_at(grid, of_chance()), IDS)
    assert found == Area(crs=crs)
    assert km2(found, 0) is None
    assert km2(AREA.sum([("a", found)]), 0) is None


def test_plain_pictures_say_nothing_of_areas_anywhere() -> None:
    counted = count(labels_at(None, of_chance()), IDS)
    assert AREA.name not in counted.to_json()
    assert AREA.name not in Sums.over([("a", counted)]).to_json()
    # A run holds the row of each image: no longer than without this measure.
    assert len(counted.to_plain()) <= sum(len(count) for count in counted.values[:-1])


def test_a_class_that_is_not_there_covers_nothing() -> None:
    assert km2(AREA.of(labels_at(UTM, np.zeros((2, 2), np.uint8)), IDS), 2) == 0


def test_areas_of_the_whole_earth_come_back_from_a_record() -> None:
    counted = count(labels_at(WORLD, np.zeros((18, 36), np.uint8)), IDS)
    # The ellipsoid of WGS 84 has 510.07 million square kilometres.
    assert km2(counted[AREA], 0) == pytest.approx(510_065_621.7, rel=1e-9)
    assert Counted.from_json(counted.to_json()) == counted
    assert Counted.from_plain(counted.to_plain()) == counted
    sums = Sums.over([("a", counted), ("b", counted)])
    assert Sums.from_json(sums.to_json()) == sums


@pytest.mark.parametrize(
    "change", [{"by_class": {"0": -1}}, {"by_class": {"0": 1 << 100}}, {"crs": 5}, {"images": -1}, {"more": 1}]
)
def test_what_is_no_area_is_refused(change: dict[str, Any]) -> None:
    values = count(labels_at(UTM, of_chance()), IDS).to_json()
    with pytest.raises(ValueError, match="area"):
        Counted.from_json({**values, AREA.name: {**values[AREA.name], **change}})


def test_sums_are_the_same_in_any_order_and_name_all_methods() -> None:
    areas = [AREA.of(labels_at(grid, of_chance(n)), IDS) for n, grid in enumerate((UTM, DEGREES, None, UTM))]
    named = [(str(n), area) for n, area in enumerate(areas)]
    whole = AREA.sum(named)
    assert whole == AREA.add(AREA.sum(named[:1]), AREA.sum(named[1:])) == AREA.sum(named[::-1])
    assert (whole.images, whole.method) == (3, "geodesic by row, planar")
    assert whole.by_class[0] == sum(area.by_class.get(0, 0) for area in areas)
