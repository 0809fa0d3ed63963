"""The layout of a GeoTIFF that a run writes: all that is known of it before its pixels."""

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from maskbeam.transforms.elements import Array, Grid, GroundPoints

# How a pixel of a smaller copy comes from those below it. Class ids have no mean; a mode of each band by itself would
# give colours that no class has.
Overviews = Literal["mode", "average", "nearest"]
PALETTE_ENTRIES: Final = 256


Place = Grid | GroundPoints | None


@dataclass(frozen=True, eq=False)
class Layout:
    """The layout of a file.

    Attributes:
        size: Height and width in pixels, those of the input.
        place: Where its pixels lie on the earth, as the input says it.
        dtype: Of its samples: uint8 or uint16.
        bands: 1, or 3 for red, green and blue.
        nodata: The value of pixels without data; None: there is none.
        palette: Uint8 `[256, 3]`, the colours of the values; None: it is grey.
        masked: Whether a mask inside says which pixels have data.
        overviews: How smaller copies are made.
    """

    size: tuple[int, int]
    place: Place = None
    dtype: np.dtype[Any] = np.dtype(np.uint8)  # noqa: RUF009 - immutable
    bands: int = 1
    nodata: int | None = None
    palette: Array | None = None
    masked: bool = False
    overviews: Overviews = "mode"

    @property
    def raw_bytes(self) -> int:
        """Bytes of all its samples without compression."""
        return self.size[0] * self.size[1] * (self.bands * self.dtype.itemsize + self.masked)


def of_mask(size: tuple[int, int], place: Place, *, ignore: int, wide: bool) -> Layout:
    """A mask: class ids of 8 bits, or `wide` of 16; what no class owns is `ignore`, and no data."""
    return Layout(size, place, np.dtype(np.uint16 if wide else np.uint8), nodata=ignore)


def of_color(size: tuple[int, int], place: Place, palette: Array, *, ignore: int) -> Layout:
    """Class ids in their colours: ids with the palette `[256, 3]` inside, or colours where there are more."""
    if len(palette) > PALETTE_ENTRIES:
        return Layout(size, place, bands=3, overviews="nearest")
    return Layout(size, place, nodata=ignore, palette=palette)


def of_confidence(size: tuple[int, int], place: Place) -> Layout:
    """Confidence, 255 for certainty; pixels without data are masked inside."""
    return Layout(size, place, masked=True, overviews="average")


def of_binary(size: tuple[int, int], place: Place) -> Layout:
    """One class: 255 where it is, 0 elsewhere."""
    return Layout(size, place)
