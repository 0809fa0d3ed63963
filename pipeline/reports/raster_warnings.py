"""Warnings about rasters that were read in a way that may not be meant."""

from maskbeam.pipeline.inputs.readers.raster import MANY_ALPHAS
from maskbeam.pipeline.text.wording import plural
from maskbeam.transforms.measures.counted import Sums
from maskbeam.transforms.measures.rasters import RASTERS, Rasters


def raster_warnings(statistics: Sums) -> list[str]:
    """Says how many rasters have nothing but no data, a band that may be none of transparency, or an offset.

    Args:
        statistics: Sums over all images that are done.
    """
    held = statistics[RASTERS]
    said = (_outside(held), _without_data(held), _alphas(held), _offset(held))
    return [warning for warning in said if warning]


def _outside(held: Rasters) -> str:
    if not held.outside_aoi:
        return ""
    if held.outside_aoi == held.rasters:
        return (
            f"--aoi touches none of {plural(held.rasters, 'image')}, so that all masks are empty: see whether its "
            "coordinates are longitude and latitude, in this order, or its document names their system"
        )
    lies = "lies" if held.outside_aoi == 1 else "lie"
    return f"{_number(held.outside_aoi, held)} {lies} outside of --aoi: all of their pixels are ignored"


def _without_data(held: Rasters) -> str:
    # An area that an image's corner touches may hold no pixel's centre.
    number = held.rasters - held.with_labels - held.outside_aoi
    has = "has" if number == 1 else "have"
    return f"{_number(number, held)} {has} no pixel of any class, as where nothing is data" if number > 0 else ""


def _alphas(held: Rasters) -> str:
    return f"{_number(held.many_alphas, held)}: {MANY_ALPHAS}" if held.many_alphas else ""


def _offset(held: Rasters) -> str:
    if not held.offset_left_in:
        return ""
    return (
        f"{_number(held.offset_left_in, held)}: the name says _N0400 or later, Sentinel-2's baseline since which "
        "numbers carry +1000, and the range begins at 0: let it begin at 1000, as in --input_range 1000,11000, if "
        "training took that off"
    )


def _number(number: int, held: Rasters) -> str:
    return f"{number:,} of {plural(held.rasters, 'image')}"
