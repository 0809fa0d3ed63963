"""Stored values of a region become what is fed, and tell which pixels are no data; plain numpy, band by band."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol

import numpy as np

from maskbeam.pipeline.inputs.readers.rules import OutOfRange
from maskbeam.pipeline.options.raster_values import InvalidPixels, Range
from maskbeam.transforms.elements import Array
from maskbeam.transforms.errors import ImageError

# Of a float32: the spacing of its numbers at 1, by which GDAL takes two of them for one.
_EPSILON = float(np.finfo(np.float32).eps)


class Refusal(Protocol):
    """The error for a value beyond the range: of a band (from 0), with its value, at a row and column of a region."""

    def __call__(self, band: int, value: float, row: int, column: int) -> ImageError:
        """The error."""


def is_nodata(values: Array, nodata: float) -> Array:
    """Bool of the values' shape: those that are the no-data value, by GDAL's rules.

    Whole numbers are equal or not; NaN is NaN; floats may be off by a few units of their last digit (of a float32),
    because the value is kept as text and as a double (`ARE_REAL_EQUAL` in GDAL's `gdal_priv.h`).
    """
    found = np.zeros(values.shape, bool)
    if np.isnan(nodata):
        if values.dtype.kind == "f":
            np.isnan(values, out=found)
        return found
    if values.dtype.kind != "f":
        limits = np.iinfo(values.dtype)
        fits = float(nodata).is_integer() and limits.min <= nodata <= limits.max
        if fits:
            np.equal(values, int(nodata), out=found)
        return found
    if values.dtype.itemsize > 4:
        np.equal(values, nodata, out=found)
        return found
    with np.errstate(over="ignore", invalid="ignore"):
        wanted = np.float32(nodata)
        if np.isinf(wanted) and np.isfinite(nodata):
            return found
        np.less(np.abs(values - wanted), _EPSILON * np.abs(values + wanted) * 2, out=found)
        found |= values == wanted
    return found


def says_invalid(values: Array, rule: InvalidPixels) -> Array:
    """Bool of the values' shape: where a band says that there is no data.

    Args:
        values: The band's, whole numbers where the rule names bits.
        rule: The values or bits that say so.
    """
    if rule.bits:
        bits = rule.bits & (2 ** (8 * values.dtype.itemsize) - 1)
        unsigned = values.view(np.dtype(f"u{values.dtype.itemsize}"))
        found: Array = unsigned & unsigned.dtype.type(bits) != 0
        return found
    return np.isin(values, rule.values)


def feed(
    stored: Sequence[Array],
    valid: Array,
    ranges: Sequence[Range | None],
    out_of_range: OutOfRange,
    refusal: Refusal,
) -> Array:
    """Puts bands on the 0..255 scale, `(v - low) / (high - low) * 255`, and takes what is no data out.

    Args:
        stored: A plane `[h, w]` of each band, in the units of its range.
        valid: Bool `[h, w]`; where `ignore` finds values beyond a range it becomes False.
        ranges: Low and high of each band; None: its values are fed as they are.
        out_of_range: What becomes of valid values beyond their range, infinite ones always: `clip` makes the range's
            ends of them.
        refusal: Makes the error of `fail`.

    Returns:
        `[h, w, C]`, 0 where `valid` is False: uint8 where all bands are and none has a range, else float32.

    Raises:
        ImageError: `refusal`'s, for the first pixel in row-major order.
    """
    _settle(stored, valid, ranges, out_of_range, refusal)
    plain = all(band.dtype == np.uint8 for band in stored) and not any(ranges)
    fed = np.empty((*valid.shape, len(stored)), np.uint8 if plain else np.float32)
    for i, (band, scale) in enumerate(zip(stored, ranges, strict=True)):
        _put(band, scale, fed[..., i])
        if out_of_range == "clip" and scale is not None:
            np.clip(fed[..., i], 0, 255, out=fed[..., i])
    if not valid.all():
        fed[~valid] = 0
    return fed


def _put(band: Array, scale: Range | None, out: Array) -> None:
    if scale is None:
        np.copyto(out, band, casting="unsafe")
    elif band.dtype.kind == "u" and band.dtype.itemsize <= 2:
        out[...] = _table(band.dtype.itemsize, *scale).take(band)
    else:
        _on_scale(band, *scale, out)


@lru_cache(maxsize=32)
def _table(itemsize: int, low: float, high: float) -> Array:
    """The scale's value of each number of a type of one or two bytes: to look it up takes half the time."""
    values = np.arange(256**itemsize, dtype=np.uint32)
    table = np.empty(len(values), np.float32)
    _on_scale(values, low, high, table)
    return table


def _on_scale(values: Array, low: float, high: float, out: Array) -> None:
    # As `to_byte_scale` computes it: in double, rounded once for each step, without an array of doubles.
    with np.errstate(over="ignore", invalid="ignore"):
        np.subtract(values, low, out=out, dtype=np.float64, casting="unsafe")
        np.divide(out, (high - low) / 255, out=out, dtype=np.float64, casting="unsafe")


def _settle(
    stored: Sequence[Array],
    valid: Array,
    ranges: Sequence[Range | None],
    out_of_range: OutOfRange,
    refusal: Refusal,
) -> None:
    """Finds valid values beyond the ranges and does with them what `out_of_range` says, but for clipping."""
    refused: list[tuple[int, int]] = []
    for i, (band, scale) in enumerate(zip(stored, ranges, strict=True)):
        found = _beyond(band, scale, valid)
        if found is None:
            continue
        if out_of_range == "ignore":
            valid &= ~found
        elif out_of_range == "fail" or scale is None:  # what has no range has no end that it could become
            refused.append((int(found.argmax()), i))
    if refused:
        first, i = min(refused)
        row, column = divmod(first, valid.shape[1])
        raise refusal(i, stored[i][row, column].item(), row, column)


def _beyond(band: Array, scale: Range | None, valid: Array) -> Array | None:
    """Bool `[h, w]`, valid values beyond a range, or None where there are none."""
    if scale is None and band.dtype.kind != "f":
        return None
    low, high = scale or (-np.finfo(band.dtype).max, np.finfo(band.dtype).max)
    least, most = band.min(), band.max()
    if low <= least and most <= high:
        return None
    with np.errstate(invalid="ignore"):
        found = ((band < low) | (band > high)) & valid
    return found if found.any() else None


def scaled(values: Array, scale: float, offset: float) -> Array:
    """Values in the file's own units, `scale * v + offset`, float64; as they are where that changes nothing."""
    if (scale, offset) == (1.0, 0.0):
        return values
    return values * np.float64(scale) + np.float64(offset)
