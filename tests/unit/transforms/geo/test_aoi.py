"""Pixels inside polygons: a plain ray, pixel by pixel, and rasterio's geometry_mask are the oracles."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Transformer
from rasterio.features import geometry_mask
from rasterio.transform import Affine

from maskbeam.transforms.elements import Array, Grid, Region
from maskbeam.transforms.geo.aoi import inside, touches
from maskbeam.transforms.geo.geojson import Aoi, parse_aoi
from tests.support.places import cut, utm, within, wkt

SIZE = (60, 80)
# Of a UTM grid of 10 m, so that a pixel is ten units.
GRIDS = {
    "north up": utm(),
    "south up": utm((10.0, 0.0, 300000.0, 0.0, 10.0, 5699400.0)),
    "rotated": utm((8.0, 6.0, 299800.0, 6.0, -8.0, 5699600.0)),
}
Points = list[tuple[float, float]]


def document(*polygons: list[Points], crs: str = "") -> str:
    named = {"crs": {"type": "name", "properties": {"name": crs}}} if crs else {}
    features = [
        {
            "type": "Feature",
            "properties": {},
            "geometry": {"type": "Polygon", "coordinates": [closed(r) for r in rings]},
        }
        for rings in polygons
    ]
    return json.dumps({"type": "FeatureCollection", **named, "features": features})


def closed(ring: Points) -> Points:
    return [*ring, ring[0]]


def is_inside(x: float, y: float, rings: list[Points]) -> bool:
    """A ray to the left, across all edges of all rings."""
    odd = False
    for ring in rings:
        for (x0, y0), (x1, y1) in zip(ring, ring[1:] + ring[:1], strict=True):
            if (y0 > y) != (y1 > y) and x > x0 + (y - y0) / (y1 - y0) * (x1 - x0):
                odd = not odd
    return odd


def centres(grid: Grid, size: tuple[int, int], shift: tuple[float, float] = (0.0, 0.0)) -> tuple[Array, Array]:
    a, b, c, d, e, f = grid.transform
    rows, columns = np.mgrid[: size[0], : size[1]] + 0.5
    rows, columns = rows + shift[0], columns + shift[1]
    return a * columns + b * rows + c, d * columns + e * rows + f


def by_hand(x: Array, y: Array, polygons: list[list[Points]]) -> Array:
    found = np.zeros(x.shape, bool)
    for index in np.ndindex(*x.shape):
        found[index] = any(is_inside(float(x[index]), float(y[index]), rings) for rings in polygons)
    return found


RINGS = st.lists(
    st.tuples(st.floats(299700, 301200, allow_nan=False), st.floats(5699100, 5700200, allow_nan=False)),
    min_size=3,
    max_size=7,
    unique=True,
)


@pytest.mark.parametrize("name", GRIDS)
@given(polygons=st.lists(st.lists(RINGS, min_size=1, max_size=3), min_size=1, max_size=2))
@settings(max_examples=25)
def test_a_pixel_is_inside_when_its_centre_is(name: str, polygons: list[list[Points]]) -> None:
    grid = GRIDS[name]
    found = inside(parse_aoi(document(*polygons, crs="EPSG:32633"), "a"), grid, SIZE, Region.whole(SIZE))
    x, y = centres(grid, SIZE)
    # Where a centre lies on an edge, to the last bit, any answer is right.
    true = by_hand(x, y, polygons)
    near = [
        by_hand(x + dx, y + dy, polygons) for dx, dy in ((1e-5, 1e-5), (-1e-5, 1e-5), (1e-5, -1e-5), (-1e-5, -1e-5))
    ]
    sure = np.all([each == true for each in near], axis=0)
    assert np.array_equal(found[sure], true[sure])
    assert sure.mean() > 0.95


@given(polygons=st.lists(st.lists(RINGS, min_size=1, max_size=2), min_size=1, max_size=2))
@settings(max_examples=25)
def test_rasterio_says_the_same(polygons: list[list[Points]]) -> None:
    """GDAL rounds corners to a grid of its own and has other rules for edges through centres: hardly ever."""
    grid = GRIDS["north up"]
    found = inside(parse_aoi(document(*polygons, crs="EPSG:32633"), "a"), grid, SIZE, Region.whole(SIZE))
    true = np.zeros(SIZE, bool)
    for rings in polygons:
        shape = {"type": "Polygon", "coordinates": [closed(ring) for ring in rings]}
        true |= geometry_mask([shape], SIZE, Affine(*grid.transform), invert=True)
    assert (found != true).sum() <= 3


def test_holes_are_outside_and_what_lies_in_them_may_be_inside_again() -> None:
    def square(side: float) -> Points:
        return [(300400 - side, 5699700 - side), (300400 + side, 5699700 - side), (300400 + side, 5699700 + side),
                (300400 - side, 5699700 + side)]  # fmt: skip

    text = document([square(200), square(100)[::-1]], [square(50)], crs="EPSG:32633")
    found = inside(parse_aoi(text, "a"), GRIDS["north up"], SIZE, Region.whole(SIZE))
    assert found.sum() == 40 * 40 - 20 * 20 + 10 * 10
    assert not found[20, 40 - 8]
    assert found[30, 40]


@pytest.mark.parametrize("name", GRIDS)
@given(RINGS, st.integers(1, 60), st.integers(1, 80))
@settings(max_examples=15)
def test_any_division_has_the_same_pixels(name: str, ring: Points, height: int, width: int) -> None:
    aoi = parse_aoi(document([ring], crs="EPSG:32633"), "a")
    whole = inside(aoi, GRIDS[name], SIZE, Region.whole(SIZE))
    for part in cut(SIZE, height, width):
        assert np.array_equal(inside(aoi, GRIDS[name], SIZE, part), within(part, whole))


WIDE: dict[str, tuple[Grid, tuple[int, int], list[Points]]] = {
    "utm": (
        Grid(wkt(32633), (1000.0, 0.0, 300000.0, 0.0, -1000.0, 5700000.0)),
        (300, 400),
        [[(10.0, 50.0), (17.9, 48.2), (19.0, 51.0)], [(13.0, 49.7), (16.0, 49.2), (16.0, 50.2)]],
    ),
    "much more than the scene": (
        Grid(wkt(32633), (1000.0, 0.0, 300000.0, 0.0, -1000.0, 5700000.0)),
        (300, 400),
        [[(-170.0, -80.0), (170.0, -80.0), (170.0, 50.0), (-170.0, 50.0)]],
    ),
    "degrees of 0 to 360": (
        Grid(wkt(4326), (0.1, 0.0, 250.0, 0.0, -0.1, 20.0)),
        (200, 300),
        [[(-107.03, 3.01), (-90.02, 5.0), (-95.0, 15.02)]],
    ),
    "all longitudes": (
        Grid(wkt(4326), (1.0, 0.0, 0.0, 0.0, -1.0, 90.0)),
        (180, 360),
        [[(-30.03, -20.01), (40.02, -25.0), (5.0, 65.02)]],
    ),
    "web mercator": (
        Grid(wkt(3857), (20000.0, 0.0, -5e6, 0.0, -20000.0, 19e6)),
        (500, 500),
        [[(-40.0, 30.0), (40.0, -10.0), (44.0, 89.9), (-41.0, 89.9)]],
    ),
    "antimeridian": (
        Grid(wkt(32601), (1000.0, 0.0, 100000.0, 0.0, -1000.0, 5700000.0)),
        (300, 400),
        [[(176.0, 49.0), (180.0, 48.5), (180.0, 51.0)]],
    ),
    "pole": (
        Grid(wkt(3413), (20000.0, 0.0, -2.5e6, 0.0, -20000.0, 2.5e6)),
        (250, 250),
        [[(-180.0, 80.0), (180.0, 80.0), (180.0, 90.0), (-180.0, 90.0)]],
    ),
}


@pytest.mark.parametrize("name", WIDE)
def test_edges_are_straight_in_longitude_and_latitude(name: str) -> None:
    """Where the pixel's centre and all points an eighth of a pixel around it agree, so must we."""
    grid, size, rings = WIDE[name]
    found = inside(parse_aoi(document(rings), "a"), grid, size, Region.whole(size))
    way = Transformer.from_crs(grid.crs, "OGC:CRS84", always_xy=True)
    shifts = ((0.0, 0.0), (-0.125, 0.0), (0.125, 0.0), (0.0, -0.125), (0.0, 0.125))
    answers = []
    for shift in shifts:
        lon, lat = way.transform(*centres(grid, size, shift))
        answers.append(by_hand((lon + 180) % 360 - 180, lat, [rings]))
    sure = np.all([each == answers[0] for each in answers], axis=0)
    assert sure.mean() > 0.95
    assert 0 < answers[0].sum() < answers[0].size
    assert np.array_equal(found[sure], answers[0][sure])


def test_polygons_on_both_sides_of_the_antimeridian() -> None:
    grid, size, rings = WIDE["antimeridian"]
    other = [[(-180.0, 48.5), (-176.0, 50.0), (-180.0, 51.0)]]
    both = inside(parse_aoi(document(rings, other), "a"), grid, size, Region.whole(size))
    one, two = (inside(parse_aoi(document(each), "a"), grid, size, Region.whole(size)) for each in (rings, other))
    assert one.any()
    assert two.any()
    assert np.array_equal(both, one | two)


def test_what_touches_an_image() -> None:
    grid = GRIDS["north up"]
    near: Points = [(300790, 5699990), (301900, 5699990), (301900, 5701000)]
    far: Points = [(x + 5000, y) for x, y in near]
    for ring, answer in ((near, True), (far, False)):
        aoi = parse_aoi(document([ring], crs="EPSG:32633"), "a")
        assert touches(aoi, grid, SIZE) is answer
        assert inside(aoi, grid, SIZE, Region.whole(SIZE)).any() <= answer


RING = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0))


@pytest.mark.parametrize("grid", [Grid("", (10.0, 0.0, 0.0, 0.0, -10.0, 0.0))])
def test_an_image_without_a_place_has_no_answer(grid: Grid) -> None:
    with pytest.raises(ValueError, match="place on the earth"):
        inside(Aoi(((RING,),)), grid, SIZE, Region.whole(SIZE))
