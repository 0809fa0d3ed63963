"""Scales, ranges and no-data values; plain loops and `to_byte_scale` are the oracles."""

import math
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskbeam.pipeline.inputs.readers.pixel_values import feed, is_nodata, says_invalid, scaled
from maskbeam.pipeline.options.raster_values import InvalidPixels
from maskbeam.transforms.codecs.value_range import to_byte_scale
from maskbeam.transforms.elements import Array
from maskbeam.transforms.errors import Code, ImageError

TYPES = ["uint8", "uint16", "int16", "uint32", "int32", "float32", "float64"]


def refusal(band: int, value: float, row: int, column: int) -> ImageError:
    return ImageError(Code.BAD_VALUE_RANGE, f"{band} {value} {row} {column}")


def fed(stored: Iterable[Array], valid: Array, ranges: list[tuple[float, float] | None], out_of_range: str) -> Array:
    return feed(list(stored), valid, ranges, out_of_range, refusal)  # type: ignore[arg-type]


@given(st.sampled_from(TYPES), st.integers(0, 99), st.integers(100, 250), st.integers(0, 2**31))
def test_the_scale_is_that_of_plain_images(dtype: str, low: int, high: int, seed: int) -> None:
    bands = np.random.default_rng(seed).integers(low, high + 1, (3, 4, 5)).astype(dtype)
    found = fed(bands, np.ones((4, 5), bool), [(low, high)] * 3, "fail")
    expected = to_byte_scale(bands.transpose(1, 2, 0).astype(np.float64), (low, high))
    assert found.dtype == np.float32
    assert np.array_equal(found, expected)


def test_each_band_has_its_own_range() -> None:
    bands: list[Array] = [np.array([[0, 100]], np.uint16), np.array([[-1, 1]], np.float32)]
    found = fed(bands, np.ones((1, 2), bool), [(0, 100), (-1, 1)], "fail")
    assert found.tolist() == [[[0, 0], [255, 255]]]


def test_eight_bits_without_a_range_are_fed_as_they_are() -> None:
    bands = np.random.default_rng(0).integers(0, 256, (3, 4, 5)).astype(np.uint8)
    valid = np.ones((4, 5), bool)
    valid[1, 2] = False
    found = fed(bands, valid, [None] * 3, "fail")
    assert found.dtype == np.uint8
    assert np.array_equal(found, bands.transpose(1, 2, 0) * valid[..., None])


@given(st.lists(st.lists(st.integers(-20, 40), min_size=6, max_size=6), min_size=2, max_size=2), st.data())
def test_values_beyond_the_range(bands: list[list[int]], data: st.DataObject) -> None:
    there = data.draw(st.lists(st.booleans(), min_size=6, max_size=6))
    stored = [np.array(band, np.int16).reshape(2, 3) for band in bands]
    beyond = [(i, b) for i in range(6) for b in (0, 1) if there[i] and not 0 <= bands[b][i] <= 20]

    valid = np.array(there).reshape(2, 3)
    ignored = fed(stored, valid, [(0, 20)] * 2, "ignore")
    assert valid.ravel().tolist() == [there[i] and (i, 0) not in beyond and (i, 1) not in beyond for i in range(6)]
    assert not ignored[~valid].any()

    valid = np.array(there).reshape(2, 3)
    clipped = fed(stored, valid, [(0, 20)] * 2, "clip").reshape(6, 2)
    expected = [[min(max(bands[b][i], 0), 20) * 12.75 * there[i] for b in (0, 1)] for i in range(6)]
    assert clipped.tolist() == expected

    if beyond:
        i, b = beyond[0]
        with pytest.raises(ImageError, match=f"BAD_VALUE_RANGE: {b} {bands[b][i]} {i // 3} {i % 3}$"):
            fed(stored, valid, [(0, 20)] * 2, "fail")
    else:
        fed(stored, valid, [(0, 20)] * 2, "fail")


def test_infinite_values_are_beyond_every_range() -> None:
    band, valid = [np.array([[1, np.inf, -np.inf]], np.float32)], np.ones((1, 3), bool)
    assert fed(band, valid, [(0, 2)], "clip").ravel().tolist() == [127.5, 255, 0]
    for out_of_range in ("fail", "clip"):  # of what is fed as it is there are no ends
        with pytest.raises(ImageError, match="BAD_VALUE_RANGE: 0 inf 0 1"):
            fed(band, valid, [None], out_of_range)
    assert fed(band, valid, [None], "ignore").ravel().tolist() == [1, 0, 0]
    assert valid.tolist() == [[True, False, False]]


@pytest.mark.filterwarnings("error")
def test_what_is_no_data_may_hold_anything() -> None:
    band = [np.array([[1, np.nan, np.inf, 1e38]], np.float32)]
    valid = np.array([[True, False, False, False]])
    assert fed(band, valid, [(0, 2)], "fail").ravel().tolist() == [127.5, 0, 0, 0]


def test_raw_values_are_fed_in_their_units() -> None:
    found = fed([np.array([[-5, 70000]], np.int32)], np.ones((1, 2), bool), [None], "fail")
    assert (found.dtype.name, found.ravel().tolist()) == ("float32", [-5, 70000])


@pytest.mark.parametrize("dtype", [*TYPES, "int8", "uint64", "int64"])
@pytest.mark.parametrize("nodata", [0, 7, -9999, 255, 0.5, 3e38, 1e300, math.nan, math.inf])
def test_the_value_that_stands_for_no_data(dtype: str, nodata: float) -> None:
    values = np.array([0, 1, 7, 100], dtype)
    if dtype.startswith("float"):
        values = np.append(values, np.array([0.5, -9999, 3e38, np.nan, np.inf], dtype))
    same = [
        v == nodata or math.isclose(v, nodata, rel_tol=1e-6) or (v != v and nodata != nodata) for v in values.tolist()
    ]
    assert is_nodata(values, nodata).tolist() == same


def test_floats_are_no_data_where_they_were_rounded() -> None:
    values = np.array([0.1, -3.4028235e38, np.nextafter(np.float32(0.1), np.float32(1))], np.float32)
    assert is_nodata(values, 0.1).tolist() == [True, False, True]
    assert is_nodata(values, -3.40282347e38).tolist() == [False, True, False]


def test_invalid_by_value_and_by_bits() -> None:
    values = np.array([0, 3, 8, 11, 24, 255], np.uint8)
    assert says_invalid(values, InvalidPixels("SCL", (3, 8, 300))).tolist() == [
        False,
        True,
        True,
        False,
        False,
        False,
    ]
    expected = [bool(v & 0x18) for v in values.tolist()]
    assert says_invalid(values, InvalidPixels("QA", bits=0x18)).tolist() == expected
    assert says_invalid(values, InvalidPixels("QA", bits=0xF18)).tolist() == expected
    assert says_invalid(np.array([-1, 1, 0], np.int16), InvalidPixels("QA", bits=0x8000)).tolist() == [
        True,
        False,
        False,
    ]


def test_units_of_the_file() -> None:
    values = np.array([0, 7273, 43636], np.uint16)
    assert scaled(values, 0.0000275, -0.2).tolist() == [v * 0.0000275 + -0.2 for v in values.tolist()]
    assert scaled(values, 1, 0) is values
