"""Words of flags about rasters to values, a function for each kind; each raises argparse's error like `values.py`."""

import argparse
import re
from dataclasses import dataclass
from typing import Literal

from maskbeam.pipeline.options.values import names, number_pair

Range = tuple[float, float]


@dataclass(frozen=True)
class Ranges:
    """A range for each band."""

    of_bands: tuple[Range, ...]

    def __str__(self) -> str:
        return "/".join(f"{low:.15g},{high:.15g}" for low, high in self.of_bands)


# One for all bands, one for each, or none: values stay in the file's units.
InputRange = Range | Ranges | Literal["raw"]
_RULE = re.compile(r"(?P<band>[^=&]*)(?P<sign>[=&])(?P<values>.*)", re.DOTALL)


@dataclass(frozen=True)
class InvalidPixels:
    """The pixels whose value in one band says that they show no ground: clouds, shadows, saturation.

    Attributes:
        band: The band's name, or its number from 1.
        values: A pixel is no data where the band has one of these.
        bits: Or where one of these bits is set in it.
    """

    band: str
    values: tuple[int, ...] = ()
    bits: int = 0

    def __str__(self) -> str:
        return f"{self.band}&{self.bits:#x}" if self.bits else f"{self.band}={','.join(map(str, self.values))}"


def bands(text: str) -> tuple[str, ...]:
    """`4,3,2` or `B04,B03,B02`: bands in the order in which the model takes them; numbers begin at 1."""
    found = names(text)
    for name in found:
        if name.isdigit() and int(name) < 1:
            raise argparse.ArgumentTypeError(f"{text!r}: bands are counted from 1")
    return found


def nodata(text: str) -> float | None:
    """`VALUE`, or `none`: nothing is no data, whatever the file says."""
    if text.strip() == "none":
        return None
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor none; write one, as in 0") from None


def input_range(text: str) -> InputRange:
    """`LO,HI` for all bands, `LO,HI/LO,HI...` for one each, or `raw`."""
    if text.strip() == "raw":
        return "raw"
    found = tuple(_range(part) for part in text.split("/"))
    return found[0] if len(found) == 1 else Ranges(found)


def _range(text: str) -> Range:
    try:
        return number_pair(text)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"{error}, as in 1000,11000/0,4095 for one a band, or raw") from None


def invalid(text: str) -> InvalidPixels:
    """`SCL=3,8,9,10`: a band and its values that say no data, or `QA_PIXEL&0x18`: a band and such bits."""
    rule = _RULE.fullmatch(text)
    if not rule or not rule["band"].strip():
        raise _no_rule(text)
    try:
        values = tuple(int(value, 0) for value in rule["values"].split(","))
    except ValueError:
        raise _no_rule(text) from None
    band = rule["band"].strip()
    if rule["sign"] == "=":
        return InvalidPixels(band, values)
    if len(values) > 1 or not 0 < values[0] < 1 << 64:
        raise _no_rule(text)
    return InvalidPixels(band, bits=values[0])


def _no_rule(text: str) -> argparse.ArgumentTypeError:
    return argparse.ArgumentTypeError(
        f"{text!r} names no band with values or bits; write it as in SCL=3,8,9,10 or QA_PIXEL&0x18, in quotes"
    )
