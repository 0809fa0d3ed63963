"""The rules by which a raster's stored values become what the model is fed, and which of its pixels are no data."""

from dataclasses import dataclass
from typing import Literal

from maskbeam.pipeline.options.raster_values import InvalidPixels, Range
from maskbeam.transforms.errors import Code, ImageError

OutOfRange = Literal["fail", "clip", "ignore"]


@dataclass(frozen=True)
class RasterRules:
    """The user's word on rasters; the defaults are the file's own.

    Attributes:
        bands: Those that are fed, in this order: names, or numbers from 1; empty: all, alpha apart.
        nodata: The value that stands for no data in place of the file's own; None: every pixel is data, but for NaN.
        ranges: Values that mean 0 and 255: one for all bands or one a band; empty: those of the type.
        raw: Values are fed in the file's units.
        out_of_range: What becomes of values beyond the range: the image fails, they become its ends, or they are no
            data.
        invalid: The band that is not fed and says where there is no data, or None.
        apply_scale: Values are the file's own scale times what is stored, plus its offset; ranges are of these.
    """

    bands: tuple[str, ...] = ()
    nodata: float | Literal["file"] | None = "file"
    ranges: tuple[Range, ...] = ()
    raw: bool = False
    out_of_range: OutOfRange = "fail"
    invalid: InvalidPixels | None = None
    apply_scale: bool = False

    def ranges_of(self, dtypes: tuple[str, ...], labels: tuple[str, ...]) -> tuple[Range | None, ...]:
        """The range of each of the bands that are fed; None where values are fed as they are.

        Args:
            dtypes: Types of their values, as numpy calls them, after `apply_scale`.
            labels: What a message calls them.

        Raises:
            ImageError: BAD_CHANNELS for another number of ranges than of bands; BAD_VALUE_RANGE for a type that needs
                a range and has none.
        """
        for dtype, label in zip(dtypes, labels, strict=True):
            if dtype.startswith("complex"):
                raise ImageError(Code.BAD_VALUE_RANGE, f"the values of {label} are {dtype}, which no range is for")
        if self.raw:
            return (None,) * len(dtypes)
        if len(self.ranges) > 1 and len(self.ranges) != len(dtypes):
            raise ImageError(
                Code.BAD_CHANNELS,
                f"--input_range has {len(self.ranges)} ranges for {len(dtypes)} bands: give one, or one a band",
            )
        if self.ranges:
            return self.ranges * (1 if len(self.ranges) > 1 else len(dtypes))
        return tuple(_range_of(dtype, label) for dtype, label in zip(dtypes, labels, strict=True))


def _range_of(dtype: str, label: str) -> Range | None:
    if dtype == "uint8":
        return None
    if dtype == "uint16":
        return 0.0, 65535.0
    raise ImageError(
        Code.BAD_VALUE_RANGE, f"the values of {label} are {dtype}, which has no natural range: give --input_range"
    )
