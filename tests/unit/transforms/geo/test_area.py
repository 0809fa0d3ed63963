"""Areas of pixels: pyproj's geodesics, closed formulas and plain loops are the oracles."""

from math import atan, degrees, log, pi, radians, sin, sinh, sqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pyproj import CRS, Geod

from maskbeam.transforms.elements import Array, Grid, Region
from maskbeam.transforms.geo.area import area_by_class, area_method, pixel_areas
from tests.support.places import blobs, cut, utm, within, wkt

MM2 = 10**6
WGS84 = Geod(ellps="WGS84")
FEET = 1200 / 3937
GRIDS = {
    "utm": utm(),
    "rotated": utm((8.0, 3.0, 500000.0, 6.0, -4.0, 5600000.0)),
    "south up": utm((10.0, 0.0, 500000.0, 0.0, 10.0, 5600000.0)),
    "centimetres": utm((0.0103, 0.0, 500000.0, 0.0, -0.0103, 5600000.0)),
    "feet": Grid(wkt(2263), (10.0, 0.0, 980000.0, 0.0, -10.0, 200000.0)),
    "geographic": Grid(wkt(4326), (0.01, 0.0, 10.0, 0.0, -0.01, 60.0)),
    "slanted geographic": Grid(wkt(4326), (0.01, 0.002, 10.0, 0.0, -0.01, 60.0)),
    "rotated geographic": Grid(wkt(4326), (0.008, 0.003, 10.0, 0.004, -0.009, 60.0)),
    "web mercator": Grid(wkt(3857), (100.0, 0.0, 1e6, 0.0, -100.0, 8399737.89)),
    "world mercator": Grid(wkt(3395), (100.0, 0.0, 1e6, 0.0, -100.0, 8362698.55)),
    "rotated web mercator": Grid(wkt(3857), (80.0, 30.0, 1e6, 40.0, -90.0, 8399737.89)),
    "plate carree": Grid(wkt(4087), (1000.0, 0.0, 1e6, 0.0, -1000.0, 6e6)),
}


def zone(south: float, north: float, width: float, flattening: float = 1 / 298.257223563) -> float:
    """Square metres between two parallels over degrees of longitude (Snyder 1987, page 16, with logarithms)."""
    a = 6378137.0
    b, e2 = a * (1 - flattening), flattening * (2 - flattening)
    e = sqrt(e2)

    def q(s: float) -> float:
        return s / (1 - e2 * s * s) + log((1 + e * s) / (1 - e * s)) / (2 * e)

    return abs(b * b / 2 * radians(width) * (q(sin(radians(north))) - q(sin(radians(south)))))


def geodesic(corners: list[tuple[float, float]]) -> float:
    """Square metres of a small polygon in longitude and latitude, its edges cut fine."""
    lon, lat = [], []
    for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
        for step in range(50):
            lon.append(x0 + (x1 - x0) * step / 50)
            lat.append(y0 + (y1 - y0) * step / 50)
    return abs(WGS84.polygon_area_perimeter(lon, lat)[0])


def corners_of(grid: Grid, row: int, column: int) -> list[tuple[float, float]]:
    a, b, c, d, e, f = grid.transform
    edges = ((row, column), (row, column + 1), (row + 1, column + 1), (row + 1, column))
    return [(a * x + b * y + c, d * x + e * y + f) for y, x in edges]


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("utm", "planar"),
        ("rotated", "planar"),
        ("feet", "planar"),
        ("geographic", "geodesic by row"),
        ("slanted geographic", "geodesic by row"),
        ("web mercator", "geodesic by row"),
        ("world mercator", "geodesic by row"),
        ("plate carree", "geodesic by row"),
        ("rotated geographic", "geodesic by pixel"),
        ("rotated web mercator", "geodesic by pixel"),
    ],
)
def test_the_method_is_said(name: str, method: str) -> None:
    assert area_method(GRIDS[name]) == method


@pytest.mark.parametrize(
    ("name", "square_metres"), [("utm", 100), ("rotated", 50), ("south up", 100), ("feet", 100 * FEET * FEET)]
)
def test_planar_areas_are_those_of_the_transform(name: str, square_metres: float) -> None:
    areas = pixel_areas(GRIDS[name], Region(90, 7, 60, 40))
    assert areas is not None
    assert areas.shape == (60, 1)
    assert areas.dtype == np.int64
    assert np.abs(areas - square_metres * MM2).max() <= 1


@pytest.mark.parametrize("row", [0, 50, 99])
def test_geographic_pixels_have_the_area_between_their_parallels(row: int) -> None:
    areas = pixel_areas(GRIDS["geographic"], Region(row, 3, 1, 9))
    assert areas is not None
    true = zone(60 - 0.01 * row, 60 - 0.01 * (row + 1), 0.01)
    assert areas[0, 0] == pytest.approx(true * MM2, rel=1e-9)
    assert areas[0, 0] == pytest.approx(geodesic(corners_of(GRIDS["geographic"], row, 3)) * MM2, rel=1e-7)


@pytest.mark.parametrize("row", [0, 99])
def test_pixels_of_web_mercator_are_a_quarter_of_their_square_at_60_degrees(row: int) -> None:
    def latitude(y: float) -> float:
        return degrees(atan(sinh(y / 6378137)))

    top = 8399737.89 - 100 * row
    areas = pixel_areas(GRIDS["web mercator"], Region(row, 0, 1, 1))
    assert areas is not None
    true = zone(latitude(top - 100), latitude(top), degrees(100 / 6378137))
    assert areas[0, 0] == pytest.approx(true * MM2, rel=1e-8)
    assert areas[0, 0] == pytest.approx(2500 * MM2, rel=0.02)


@pytest.mark.parametrize("name", ["world mercator", "plate carree", "rotated web mercator", "rotated geographic"])
@pytest.mark.parametrize(("row", "column"), [(0, 0), (70, 40)])
def test_other_pixels_agree_with_geodesics_around_them(name: str, row: int, column: int) -> None:
    from pyproj import Transformer

    grid = GRIDS[name]
    way = Transformer.from_crs(grid.crs, "OGC:CRS84", always_xy=True)
    areas = pixel_areas(grid, Region(row, column, 1, 1))
    assert areas is not None
    true = geodesic([way.transform(x, y) for x, y in corners_of(grid, row, column)])
    assert areas[0, 0] == pytest.approx(true * MM2, rel=2e-5)


def test_rows_from_pole_to_pole_are_the_whole_earth_and_those_beyond_are_nothing() -> None:
    grid = Grid(wkt(4326), (1.5, 0.0, -180.0, 0.0, -1.5, 93.0))
    areas = pixel_areas(grid, Region(0, 0, 124, 240))
    assert areas is not None
    whole = 240 * int(areas.sum(dtype=object))
    assert whole == pytest.approx(zone(-90, 90, 360) * MM2, rel=1e-12)
    assert whole == pytest.approx(510065621724088 * MM2, rel=1e-9)
    assert areas[:2, 0].tolist() == areas[-2:, 0].tolist() == [0, 0]
    assert areas[2, 0] > 0


def test_a_sphere_has_the_area_of_a_sphere() -> None:
    sphere = str(CRS.from_proj4("+proj=longlat +R=6371000 +no_defs").to_wkt())
    areas = pixel_areas(Grid(sphere, (1.0, 0.0, 0.0, 0.0, -1.0, 90.0)), Region(0, 0, 180, 1))
    assert areas is not None
    assert int(areas.sum(dtype=object)) * 360 == pytest.approx(4 * pi * 6371000**2 * MM2, rel=1e-12)


@pytest.mark.parametrize("name", GRIDS)
def test_rounding_does_not_add_up(name: str) -> None:
    """All rows of a column together are off by a square millimetre, not by half of one for each row."""
    grid = GRIDS[name]
    if area_method(grid) == "geodesic by pixel":
        return
    areas = pixel_areas(grid, Region(0, 0, 5000, 1))
    one = pixel_areas(
        Grid(grid.crs, (*grid.transform[:4], 5000 * grid.transform[4], grid.transform[5])), Region(0, 0, 1, 1)
    )
    if grid.transform[1] == grid.transform[3] == 0:
        assert areas is not None
        assert one is not None
        assert int(areas.sum()) == pytest.approx(int(one.sum()), rel=1e-12, abs=2)


def test_a_small_class_is_right_where_pixels_are_of_a_centimetre() -> None:
    labels = np.zeros((300, 300), np.uint8)
    labels[100:150, 20:70] = 1
    found = area_by_class(labels, Region(0, 0, 300, 300), GRIDS["centimetres"])
    assert found is not None
    assert found[1] == pytest.approx(2500 * 0.0103**2 * MM2, rel=5e-4)


@pytest.mark.parametrize(
    "grid",
    [
        None,
        Grid("", (10.0, 0.0, 0.0, 0.0, -10.0, 0.0)),
        Grid("LOCAL", (10.0, 0.0, 0.0, 0.0, -10.0, 0.0)),
        Grid(wkt(32633), (float("nan"), 0.0, 0.0, 0.0, -10.0, 0.0)),
        Grid(wkt(32633), (1e9, 0.0, 0.0, 0.0, -1e9, 0.0)),
        Grid(wkt(4978), (10.0, 0.0, 0.0, 0.0, -10.0, 0.0)),
        Grid('LOCAL_CS["site",UNIT["metre",1]]', (10.0, 0.0, 0.0, 0.0, -10.0, 0.0)),
    ],
    ids=["nowhere", "no crs", "nonsense", "no numbers", "a world a pixel", "geocentric", "local"],
)
def test_where_nobody_knows_there_is_no_area_and_never_zero(grid: Grid | None) -> None:
    assert area_method(grid) == ""
    assert pixel_areas(grid, Region(0, 0, 3, 3)) is None
    assert area_by_class(np.zeros((3, 3), np.uint8), Region(0, 0, 3, 3), grid) is None


@pytest.mark.parametrize("text", ["EPSG:32633+5773", "+proj=utm +zone=33 +ellps=bessel +towgs84=598,73,418 +units=m"])
def test_heights_and_shifts_are_nothing_to_areas(text: str) -> None:
    grid = Grid(str(CRS.from_user_input(text).to_wkt()), (10.0, 0.0, 500000.0, 0.0, -10.0, 5600000.0))
    areas = pixel_areas(grid, Region(0, 0, 1, 1))
    assert areas is not None
    assert areas.tolist() == [[100 * MM2]]


@pytest.mark.parametrize("name", GRIDS)
def test_classes_have_the_sum_of_their_pixels_in_a_plain_loop(name: str) -> None:
    labels = blobs(40, 60).astype(np.uint16) * 300
    region = Region(11, 5, 40, 60)
    areas = pixel_areas(GRIDS[name], region)
    assert areas is not None
    whole = np.broadcast_to(areas, labels.shape)
    sums: dict[int, int] = {}
    for row in range(40):
        for column in range(60):
            class_id = int(labels[row, column])
            sums[class_id] = sums.get(class_id, 0) + int(whole[row, column])
    assert area_by_class(labels, region, GRIDS[name]) == dict(sorted(sums.items()))


def added(parts: list[dict[int, int] | None]) -> dict[int, int]:
    sums: dict[int, int] = {}
    for part in parts:
        for class_id, area in (part or {}).items():
            sums[class_id] = sums.get(class_id, 0) + area
    return dict(sorted(sums.items()))


@pytest.mark.parametrize("name", GRIDS)
@given(height=st.integers(1, 90), width=st.integers(1, 130))
@settings(max_examples=8)
@example(height=1, width=130)
@example(height=90, width=1)
@example(height=37, width=41)
def test_any_division_sums_to_the_same_integers(name: str, height: int, width: int) -> None:
    labels = blobs(90, 130)
    whole = area_by_class(labels, Region(0, 0, 90, 130), GRIDS[name])
    parts = [area_by_class(within(part, labels), part, GRIDS[name]) for part in cut((90, 130), height, width)]
    assert added(parts) == whole


@given(
    st.tuples(*[st.floats(-1e6, 1e6, allow_nan=False)] * 6),
    st.sampled_from([32633, 4326, 3857, 3395, 2263]),
    st.integers(1, 9),
)
@settings(max_examples=60)
def test_any_transform_has_areas_or_none_and_no_error(transform: Any, code: int, side: int) -> None:
    labels: Array = np.zeros((side, side), np.uint8)
    found = area_by_class(labels, Region(1000, 2000, side, side), Grid(wkt(code), transform))
    assert found is None or found[0] >= 0
