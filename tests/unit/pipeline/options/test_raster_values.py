"""Words of flags about rasters."""

import argparse
import math

import pytest

from maskbeam.pipeline.options.raster_values import InvalidPixels, Ranges, bands, input_range, invalid, nodata


def test_bands_are_names_or_numbers() -> None:
    assert bands("4,3,2") == ("4", "3", "2")
    assert bands("B8A, B04") == ("B8A", "B04")


@pytest.mark.parametrize("text", ["", ",", "0", "1,0,2", "00"])
def test_bands_count_from_1(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        bands(text)


def test_no_data_is_a_number_or_none() -> None:
    assert nodata("0") == 0
    assert nodata("-3.4028234663852886e+38") == -3.4028234663852886e38
    assert nodata("none") is None
    found = nodata("nan")
    assert found is not None
    assert math.isnan(found)
    with pytest.raises(argparse.ArgumentTypeError, match="'null' is neither a number nor none"):
        nodata("null")


def test_a_range_is_for_all_bands_or_one_a_band_or_there_is_none() -> None:
    assert input_range("1000,11000") == (1000, 11000)
    assert input_range("0,1/-5,4e3") == Ranges(((0, 1), (-5, 4000)))
    assert str(input_range("0,1/-5,4e3")) == "0,1/-5,4000"
    assert input_range("raw") == "raw"


@pytest.mark.parametrize("text", ["", "1", "1,0", "0,1/", "0,1/2", "0,inf", "raw/0,1", "0,1,2"])
def test_what_is_no_range(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        input_range(text)


def test_pixels_are_invalid_by_values_or_by_bits() -> None:
    assert invalid("SCL=3,8,9,10") == InvalidPixels("SCL", (3, 8, 9, 10))
    assert invalid("QA_PIXEL&0x18") == InvalidPixels("QA_PIXEL", bits=24)
    assert invalid("5=-1") == InvalidPixels("5", (-1,))
    assert invalid("QA&0b101") == invalid("QA&5")


@pytest.mark.parametrize(
    "text", ["", "SCL", "=3", "&1", "SCL=", "SCL=a", "QA&", "QA&0", "QA&1,2", "QA&-1", "SCL=3,,4"]
)
def test_what_names_no_invalid_pixels(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="SCL=3,8,9,10 or QA_PIXEL&0x18"):
        invalid(text)


@pytest.mark.parametrize("text", ["SCL=3,8,9,10", "QA_PIXEL&0x18"])
def test_a_rule_is_said_as_it_was_given(text: str) -> None:
    assert str(invalid(text)) == text
