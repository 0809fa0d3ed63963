"""Rasters that are read inside polygons only: held against the whole raster and a mask of its own."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rasterio.control import GroundControlPoint
from rasterio.features import geometry_mask

from maskbeam.pipeline.inputs.area import check_place, lies_outside, read_inside
from maskbeam.pipeline.inputs.readers.raster import Raster
from maskbeam.transforms.elements import Array, Origin, Region, Source
from maskbeam.transforms.errors import Code, ImageError
from maskbeam.transforms.geo.geojson import Aoi
from tests.support.places import cut, within
from tests.support.rasters import UTM, opened, planes, write_raster

SIZE = (61, 83)
#: Columns and rows of a triangle, on a grid of 10 m from 500000, 5600000.
TRIANGLE = ((20.2, 10.1), (60.7, 18.3), (31.9, 44.4))


def area(*points: tuple[float, float]) -> Aoi:
    ring = tuple((500000 + 10 * column, 5600000 - 10 * row) for column, row in points)
    return Aoi(((ring,),), "EPSG:32633")


def oracle(aoi: Aoi) -> Array:
    shapes = [{"type": "Polygon", "coordinates": [[*aoi.polygons[0][0], aoi.polygons[0][0][0]]]}]
    return np.asarray(geometry_mask(shapes, SIZE, UTM["transform"], invert=True))


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = planes(2, *SIZE)
    data[:, 15:20, 30:40] = 0
    return write_raster(tmp_path_factory.mktemp("in") / "a.tif", data, nodata=0)


@given(sides=st.tuples(st.integers(3, 70), st.integers(3, 90)))
def test_what_is_inside_is_read_as_ever_and_the_rest_is_no_data_in_any_division(
    path: Path, sides: tuple[int, int]
) -> None:
    aoi = area(*TRIANGLE)
    with opened(path) as raster:
        all_of_it, mask = raster.read(Region.whole(SIZE)), oracle(aoi)
        for region in cut(SIZE, *sides):
            values, valid = read_inside(raster, aoi, region)
            wanted = within(region, mask & all_of_it.valid)
            assert np.array_equal(valid, wanted)
            assert np.array_equal(values, within(region, all_of_it.values) * wanted[..., None])


def test_nothing_is_read_but_the_rectangle_around_what_is_inside(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Region] = []
    read = Raster.read

    def noted(raster: Raster, region: Region, *more: Any) -> Any:
        asked.append(region)
        return read(raster, region, *more)

    monkeypatch.setattr(Raster, "read", noted)
    aoi = area(*TRIANGLE)
    rows, columns = np.nonzero(oracle(aoi))
    with opened(path) as raster:
        read_inside(raster, aoi, Region.whole(SIZE))
        assert asked == [
            Region(rows.min(), columns.min(), rows.max() + 1 - rows.min(), columns.max() + 1 - columns.min())
        ]
        asked.clear()
        for region in cut(SIZE, 8, 8):
            before = len(asked)
            read_inside(raster, aoi, region)
            assert (len(asked) > before) == bool(within(region, oracle(aoi)).any())


def test_values_beyond_the_range_count_inside_only(tmp_path: Path) -> None:
    data = planes(1, *SIZE, dtype="uint16")
    data[0, 0, 0], data[0, 30, 36] = 9000, 8000
    path = write_raster(tmp_path / "a.tif", data)
    with opened(path, ranges=((0.0, 200.0),)) as raster:
        with pytest.raises(ImageError, match="8000 at row 30, column 36"):
            read_inside(raster, area(*TRIANGLE), Region.whole(SIZE))
        read_inside(raster, area((1, 0.1), (9, 0.1), (9, 9)), Region.whole(SIZE))


def test_a_raster_that_no_polygon_touches_is_told(path: Path) -> None:
    with opened(path) as raster:
        assert not lies_outside(raster, area(*TRIANGLE))
        assert lies_outside(raster, area((-9, -9), (-2, -9), (-2, -2)))


@pytest.mark.filterwarnings("ignore:Dataset has no geotransform")
@pytest.mark.parametrize("place", ["none", "no system", "points"])
def test_without_a_place_there_is_no_inside(tmp_path: Path, place: str) -> None:
    said: dict[str, Any] = {"crs": None} | ({} if place == "no system" else {"transform": None})
    if place == "points":
        corners = ((0, 0), (0, 83), (61, 0), (61, 83))
        points = [GroundControlPoint(row, column, 15 + column / 100, 50 - row / 100) for row, column in corners]
        said = {"gcps": points, "crs": "EPSG:4326", "transform": None}
    path = write_raster(tmp_path / "a.tif", planes(1, *SIZE), **said)
    with opened(path) as raster:
        for asked in (
            lambda: lies_outside(raster, area(*TRIANGLE)),
            lambda: read_inside(raster, area(), Region(0, 0, 1, 1)),
        ):
            with pytest.raises(ImageError, match="--aoi cannot be told") as raised:
                asked()
            assert raised.value.code is Code.GRID_MISMATCH


def test_a_plain_picture_fails_where_there_is_an_area() -> None:
    origin = Origin("a", Source("a.png", "1"))
    check_place(origin, None)
    with pytest.raises(ImageError, match="--aoi cannot be told on it: it is a plain picture"):
        check_place(origin, area(*TRIANGLE))
