"""Grids of bands against each other: one grid, whole multiples, and what differs."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS

from maskbeam.pipeline.inputs.readers.ground import Ground, Transform, repeats, same_crs
from maskbeam.transforms.elements import GroundPoint
from maskbeam.transforms.errors import ImageError

TEN: Transform = (10, 0, 300000, 0, -10, 5700000)
UTM = CRS.from_epsg(32633)
IMAGE = Ground((120, 240), TEN, UTM)


def coarser(rows: int, columns: int, image: Ground = IMAGE) -> Ground:
    assert image.transform is not None
    a, b, c, d, e, f = image.transform
    step: Transform = (a * columns, b * rows, c, d * columns, e * rows, f)
    return replace(image, size=(image.size[0] // rows, image.size[1] // columns), transform=step)


def moved(east: float, south: float, ground: Ground = IMAGE) -> Ground:
    assert ground.transform is not None
    a, b, c, d, e, f = ground.transform
    return replace(ground, transform=(a, b, c + a * east + b * south, d, e, f + d * east + e * south))


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (2, 2), (6, 6), (2, 3), (120, 240)])
def test_a_whole_number_of_times_coarser(rows: int, columns: int) -> None:
    assert repeats(IMAGE, coarser(rows, columns), "band B11") == (rows, columns)


@given(st.floats(0, 360), st.integers(1, 5), st.sampled_from([1, -1]))
def test_rotated_and_flipped_grids_as_well(angle: float, times: int, flip: int) -> None:
    sine, cosine = 10 * math.sin(math.radians(angle)), 10 * math.cos(math.radians(angle))
    image = Ground((60, 60), (cosine, -sine * flip, 5e5, sine, cosine * flip, 5e6), UTM)
    assert repeats(image, coarser(times, times, image), "band 2") == (times, times)


@given(st.floats(-0.009, 0.009), st.floats(-0.009, 0.009))
def test_origins_within_a_hundredth_of_a_pixel(east: float, south: float) -> None:
    assert repeats(IMAGE, moved(east, south), "band 2") == (1, 1)


@pytest.mark.parametrize(("east", "south"), [(0.5, 0), (0, -0.02), (1, 1), (240, 0)])
def test_another_origin(east: float, south: float) -> None:
    begins = rf"{300000 + 10 * east:.15g}, {5700000 - 10 * south:.15g}, the first band 300000, 5700000$"
    with pytest.raises(ImageError, match=f"GRID_MISMATCH: band B11 begins at {begins}"):
        repeats(IMAGE, moved(east, south), "band B11")


def test_another_size() -> None:
    other = replace(IMAGE, size=(119, 240))
    with pytest.raises(ImageError, match=r"band 2 has 119 x 240 pixels, the first band 120 x 240$"):
        repeats(IMAGE, other, "band 2")
    with pytest.raises(ImageError, match=r"band 2 has 59 x 120 pixels, the first band 120 x 240, of which .* 2 x 2$"):
        repeats(IMAGE, replace(coarser(2, 2), size=(59, 120)), "band 2")


def test_another_resolution() -> None:
    other = replace(IMAGE, transform=(15, 0, 300000, 0, -15, 5700000), size=(80, 160))
    with pytest.raises(ImageError, match="band 8 has pixels of 15 x 15, the first band 10 x 10, no whole number"):
        repeats(IMAGE, other, "band 8")


def test_a_finer_band_is_refused_with_advice() -> None:
    with pytest.raises(
        ImageError, match=r"band B02 has pixels of 10 x 10, the first band 20 x 20.*the finest pixels first"
    ):
        repeats(coarser(2, 2), IMAGE, "band B02")


def test_pixels_that_drift_apart_are_no_grid() -> None:
    # A ten-thousandth of a pixel, but of every pixel: 240 columns on they are off by more than a hundredth.
    with pytest.raises(ImageError, match=r"band 2 has pixels of 10\.001 x 10, the first band 10 x 10"):
        repeats(IMAGE, replace(IMAGE, transform=(10.001, 0, 300000, 0, -10, 5700000)), "band 2")


def test_another_turn() -> None:
    with pytest.raises(ImageError, match="GRID_MISMATCH: band 2 has pixels"):
        repeats(IMAGE, replace(IMAGE, transform=(10, 0, 300000, 0, 10, 5700000)), "band 2")


@pytest.mark.parametrize(
    ("other", "words"), [(CRS.from_epsg(32634), "EPSG:32634"), (None, "no CRS"), (CRS.from_epsg(4326), "EPSG:4326")]
)
def test_another_crs(other: CRS | None, words: str) -> None:
    with pytest.raises(ImageError, match=f"GRID_MISMATCH: band B11 lies in {words}, the first band EPSG:32633"):
        repeats(IMAGE, replace(IMAGE, crs=other), "band B11")


@pytest.mark.parametrize("code", [32633, 2263, 3857, 3035, 25832, 4326])
def test_a_crs_in_any_spelling(code: int) -> None:
    crs = CRS.from_epsg(code)
    spellings = [crs.to_wkt(version=version) for version in ("WKT1_GDAL", "WKT2_2015", "WKT2_2019", "WKT1_ESRI")]
    for text in spellings:
        assert same_crs(crs, CRS.from_wkt(text)), text
        assert same_crs(CRS.from_wkt(text), crs), text
    assert not same_crs(crs, CRS.from_epsg(32634))


def test_a_crs_in_the_words_of_proj() -> None:
    assert same_crs(UTM, CRS.from_string("+proj=utm +zone=33 +datum=WGS84 +units=m +no_defs"))
    assert not same_crs(UTM, CRS.from_string("+proj=utm +zone=32 +datum=WGS84 +units=m +no_defs"))


def test_without_a_place_sizes_alone_decide() -> None:
    assert repeats(Ground((120, 240)), Ground((60, 80)), "band 2") == (2, 3)
    with pytest.raises(ImageError, match="band 2 has 50 x 240 pixels, the first band 120 x 240"):
        repeats(Ground((120, 240)), Ground((50, 240)), "band 2")
    with pytest.raises(ImageError, match="band 2 has no transform, the first band a transform"):
        repeats(Ground((120, 240), TEN), Ground((120, 240)), "band 2")


def test_ground_control_points_are_held_against_each_other() -> None:
    points = tuple(GroundPoint(row, column, 5e5 + column, 5e6 - row) for row in (0, 120) for column in (0, 240))
    halved = tuple(point._replace(row=point.row / 2, column=point.column / 2) for point in points)
    image = Ground((120, 240), None, UTM, points)
    assert repeats(image, Ground((60, 120), None, UTM, halved), "band 2") == (2, 2)
    with pytest.raises(ImageError, match="GRID_MISMATCH: band 2 has other ground control points"):
        repeats(image, Ground((60, 120), None, UTM, points), "band 2")


def test_the_corners_are_where_a_plain_product_puts_them() -> None:
    other = coarser(2, 2)
    assert other.transform is not None
    a, b, c, d, e, f = other.transform
    corner = np.array([[a, b], [d, e]]) @ (other.size[1], other.size[0]) + (c, f)
    assert corner.tolist() == [300000 + 2400, 5700000 - 1200]
