"""Bands by number, by name, by part of a name, by colour; and those that are not there."""

import pytest

from maskbeam.pipeline.inputs.readers.bands import Band, fed_bands, find_band
from maskbeam.transforms.errors import ImageError


def of(*names: str, colours: tuple[str, ...] = ()) -> list[Band]:
    colours = colours or ("undefined",) * len(names)
    return [
        Band(0, i, i, name, colour, "uint8") for i, (name, colour) in enumerate(zip(names, colours, strict=True), 1)
    ]


S2 = of("R10m/*_B04_10m", "R10m/*_B03_10m", "R20m/*_SCL_20m")


def test_by_number_and_by_name() -> None:
    bands = of("B08", "B02", "B04")
    assert [find_band(bands, word).number for word in ("3", "B04", "1", "B08")] == [3, 3, 1, 1]


def test_a_name_that_is_a_number_comes_before_the_count() -> None:
    assert [find_band(of("4", "3", "2"), word).number for word in ("4", "3", "2", "1")] == [1, 2, 3, 1]


def test_by_a_part_of_the_name() -> None:
    assert [find_band(S2, word).number for word in ("B04", "B03", "SCL", "20m", "B03_10m")] == [1, 2, 3, 3, 2]


def test_by_what_the_file_says_that_it_shows() -> None:
    bands = of("", "", "", colours=("blue", "green", "red"))
    assert [band.number for band in fed_bands(bands, ("red", "green", "blue"), None)] == [3, 2, 1]


def test_a_name_that_fits_several_is_refused() -> None:
    with pytest.raises(ImageError, match="BAD_CHANNELS: '10m' may be any of bands 1, 2: say which, by number"):
        find_band(S2, "10m")


def test_a_band_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(ImageError, match=r"BAD_CHANNELS: band 9 is asked for, and it has 4 bands$"):
        find_band(of("", "", "", ""), "9")
    with pytest.raises(ImageError, match=r"band B8A is asked for, and it has 3 bands: B08, B02, B04$"):
        find_band(of("B08", "B02", "B04"), "B8A")
    with pytest.raises(ImageError, match=r"and it has 30 bands: N0, .*, N19, \.\.\.$"):
        find_band(of(*[f"N{i}" for i in range(30)]), "x")


def test_all_are_fed_but_transparency_and_the_one_that_marks() -> None:
    bands = of("a", "b", "c", "d", colours=("red", "green", "alpha", "undefined"))
    assert [band.name for band in fed_bands(bands, (), bands[3])] == ["a", "b"]
    assert [band.name for band in fed_bands(bands, ("1", "2", "3"), bands[3])] == ["a", "b", "c"]


def test_transparency_alone_is_nothing_to_feed() -> None:
    with pytest.raises(ImageError, match=r"BAD_CHANNELS: .*no band but transparency"):
        fed_bands(of("", colours=("alpha",)), (), None)
