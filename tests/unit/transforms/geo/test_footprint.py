"""Outlines of scenes: pyproj's transforms and areas are the oracles, and the rules of RFC 7946."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from pyproj import Geod, Transformer

from maskbeam.transforms.elements import Grid, Region
from maskbeam.transforms.geo.area import pixel_areas
from maskbeam.transforms.geo.footprint import footprint
from tests.support.places import utm, wkt

SIZE = (900, 1300)
GRIDS = {
    "utm": utm(),
    "south up": utm((10.0, 0.0, 500000.0, 0.0, 10.0, 5600000.0)),
    "rotated": utm((8.0, 6.0, 500000.0, 6.0, -8.0, 5600000.0)),
    "geographic": Grid(wkt(4326), (0.01, 0.0, 10.0, 0.0, -0.01, 60.0)),
    "mercator": Grid(wkt(3857), (100.0, 0.0, 1e6, 0.0, -100.0, 8399737.89)),
    "over the antimeridian": Grid(wkt(32601), (100.0, 0.0, 200000.0, 0.0, -100.0, 5700000.0)),
    "degrees beyond 180": Grid(wkt(4326), (0.01, 0.0, 175.0, 0.0, -0.01, 10.0)),
    "degrees of 0 to 360": Grid(wkt(4326), (0.01, 0.0, 255.0, 0.0, -0.01, 10.0)),
}


def rings(geometry: dict[str, Any]) -> list[list[list[float]]]:
    polygons = geometry["coordinates"] if geometry["type"] == "MultiPolygon" else [geometry["coordinates"]]
    assert all(len(polygon) == 1 for polygon in polygons)
    return [polygon[0] for polygon in polygons]


def check_rules(geometry: dict[str, Any]) -> None:
    for ring in rings(geometry):
        assert ring[0] == ring[-1]
        assert len(ring) >= 4
        assert all(-180 <= x <= 180 and -90 <= y <= 90 for x, y in ring)
        area = sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in pairwise(ring))
        assert area > 0, "counterclockwise"


def square_metres(geometry: dict[str, Any]) -> float:
    geod = Geod(ellps="WGS84")
    total = 0.0
    for ring in rings(geometry):
        fine = [
            (x0 + (x1 - x0) * i / 20, y0 + (y1 - y0) * i / 20)
            for (x0, y0), (x1, y1) in pairwise(ring)
            for i in range(20)
        ]
        total += geod.polygon_area_perimeter([x for x, _ in fine], [y for _, y in fine])[0]
    return total


@pytest.mark.parametrize("name", GRIDS)
def test_it_is_the_ground_of_the_scene(name: str) -> None:
    grid = GRIDS[name]
    geometry = footprint(grid, SIZE)
    assert geometry is not None
    check_rules(geometry)
    assert geometry["type"] == ("MultiPolygon" if "antimeridian" in name or "beyond" in name else "Polygon")
    way = Transformer.from_crs(grid.crs, "OGC:CRS84", always_xy=True)
    a, b, c, d, e, f = grid.transform
    told = {(round(x, 5) % 360, round(y, 5)) for ring in rings(geometry) for x, y in ring}
    for row, column in ((0, 0), (0, 1300), (900, 1300), (900, 0), (450, 0)):
        x, y = way.transform(a * column + b * row + c, d * column + e * row + f)
        assert any(abs((x - lon + 180) % 360 - 180) < 2e-5 and abs(y - lat) < 2e-5 for lon, lat in told)
    areas = pixel_areas(grid, Region(0, 0, *SIZE))
    assert areas is not None
    # A degree's distortion of UTM apart.
    assert square_metres(geometry) == pytest.approx(int(areas.sum(dtype=object)) * 1300 / 1e6, rel=0.006)


@pytest.mark.parametrize(("code", "pole"), [(3413, 90), (3031, -90)])
def test_a_scene_around_a_pole_reaches_it(code: int, pole: int) -> None:
    geometry = footprint(Grid(wkt(code), (5000.0, 0.0, -2.5e6, 0.0, -5000.0, 2.5e6)), (1000, 1000))
    assert geometry is not None
    check_rules(geometry)
    points = np.concatenate([np.array(ring) for ring in rings(geometry)])
    assert points[:, 0].min() == -180
    assert points[:, 0].max() == 180
    assert (points[:, 1] == pole).any()
    assert square_metres(geometry) == pytest.approx(25e12, rel=0.06)


def test_the_whole_earth() -> None:
    geometry = footprint(Grid(wkt(4326), (1.0, 0.0, -180.0, 0.0, -1.0, 90.0)), (180, 360))
    assert geometry is not None
    check_rules(geometry)
    points = np.array(rings(geometry)[0])
    assert geometry["type"] == "Polygon"
    assert [points[:, 0].min(), points[:, 0].max()] == [-180, 180]
    assert [points[:, 1].min(), points[:, 1].max()] == [-90, 90]


@pytest.mark.parametrize(
    "grid",
    [
        None,
        Grid("", (10.0, 0.0, 0.0, 0.0, -10.0, 0.0)),
        Grid("nonsense", (10.0, 0.0, 0.0, 0.0, -10.0, 0.0)),
        Grid('LOCAL_CS["site",UNIT["metre",1]]', (10.0, 0.0, 0.0, 0.0, -10.0, 0.0)),
        Grid(wkt(32633), (1e9, 0.0, 0.0, 0.0, -1e9, 0.0)),
        Grid(wkt(32633), (0.0, 0.0, 5e5, 0.0, 0.0, 5e6)),
    ],
)
def test_what_has_no_place_has_no_outline(grid: Grid | None) -> None:
    assert footprint(grid, SIZE) is None
