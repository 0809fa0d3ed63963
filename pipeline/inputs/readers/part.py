"""The share of one file in an image: values of its bands, repeated where they are coarser, and where it has data."""

import threading
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from maskbeam.pipeline.inputs.readers.handles import Handles, Size
from maskbeam.pipeline.inputs.readers.layout import Layout
from maskbeam.pipeline.inputs.readers.mask_beside import check_mask_beside, open_mask_beside
from maskbeam.pipeline.inputs.readers.pixel_values import is_nodata
from maskbeam.pipeline.inputs.readers.rules import RasterRules
from maskbeam.pipeline.storage import is_gcs
from maskbeam.transforms.elements import Array, Region

_MOST_VALUES = 16
# Where transparency is looked at: squares of so many pixels, at these parts of the height and width.
_LOOKED_AT, _PLACES = 128, (1 / 4, 1 / 2, 3 / 4)


class Masks(NamedTuple):
    """The masks of a file: bands of transparency, bands whose own masks count, a mask in a file beside it."""

    alphas: tuple[int, ...] = ()
    own: tuple[int, ...] = ()
    beside: Handles | None = None


_NONE = Masks()


def masks_of(handles: Handles, layout: Layout, indexes: tuple[int, ...], rules: RasterRules) -> Masks:
    """The masks that say where a file has data: transparency that is not fed, else its masks.

    Raises:
        ImageError: The mask beside it cannot be opened.
    """
    if rules.nodata is None:
        return _NONE
    alphas = tuple(i for i, colour in enumerate(layout.colours, 1) if colour == "alpha" and i not in indexes)
    if alphas:
        return Masks(alphas)
    own = tuple(i for i in indexes if layout.masked[i - 1])
    if own:
        return Masks(own=own[:1] if layout.one_mask else own)
    far = is_gcs(handles.file.uri) and check_mask_beside(handles.file)
    return Masks(beside=open_mask_beside(handles) if far else None)


class PartRead(NamedTuple):
    """A region of a file's bands.

    Attributes:
        planes: Stored values `[h, w]` of each band, at the image's resolution.
        valid: Bool `[h, w]`, False where a mask says that there is no data, or a band is NaN; None: True everywhere.
        filled: Bool `[h, w]`, True where a band has another value than its no-data value; None: True everywhere.
    """

    planes: list[Array]
    valid: Array | None
    filled: Array | None


@dataclass(eq=False)
class Part:
    """Bands of one file.

    Attributes:
        handles: The file.
        layout: Its header.
        indexes: The bands, from 1, in the order in which they are read.
        factor: How many rows and columns of the image one pixel of the file covers.
        nodata: The no-data value of each of the bands, or None.
        masks: What else says where there is data.
        palette: Colours `[N, 3]` that the one band's values stand for and that are given in its place, or None.
        alpha_values: Values of transparency other than 0 that were met, the first few of them.
    """

    handles: Handles
    layout: Layout
    indexes: tuple[int, ...]
    factor: tuple[int, int] = (1, 1)
    nodata: tuple[float | None, ...] = ()
    masks: Masks = _NONE
    palette: Array | None = None
    alpha_values: set[float] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def read(self, region: Region) -> PartRead:
        """Reads a region of the image; raises as `Handles.read`."""
        cover = self._cover(region)
        found = self._read(cover)
        planes = [self._at_image(plane, region, cover) for plane in found.planes]
        whole = [None if mask is None else self._at_image(mask, region, cover) for mask in found[1:]]
        return PartRead(planes, *whole)

    def look_at_alphas(self) -> None:
        """Notes values of transparency at a few places along a diagonal; raises as `read`."""
        if not self.masks.alphas:
            return
        height, width = self.layout.ground.size
        for share in _PLACES:
            top, left = int(share * max(0, height - _LOOKED_AT)), int(share * max(0, width - _LOOKED_AT))
            square = Region(top, left, min(_LOOKED_AT, height), min(_LOOKED_AT, width))
            self._note(self.handles.read(self.masks.alphas, square))

    def thumbnail(self, size: Size) -> PartRead:
        """All of the file at a smaller height and width; raises as `Handles.read`."""
        return self._read(Region.whole(self.layout.ground.size), size)

    def _read(self, cover: Region, size: Size | None = None) -> PartRead:
        """A region of the file, as it is or smaller."""
        stored = self.handles.read(self.indexes, cover, size)
        valid, filled = self._valid(stored, cover, size), self._filled(stored)
        planes = stored if self.palette is None else _colours(self.palette, stored[0])
        return PartRead(list(planes), valid, filled)

    def close(self) -> None:
        """Closes what was opened for it alone: its mask beside."""
        if self.masks.beside is not None:
            self.masks.beside.close()

    def _cover(self, region: Region) -> Region:
        """The pixels of the file that a region of the image touches."""
        rows, columns = self.factor
        top, left = region.top // rows, region.left // columns
        bottom, right = -(-(region.top + region.height) // rows), -(-(region.left + region.width) // columns)
        return Region(top, left, bottom - top, right - left)

    def _at_image(self, plane: Array, region: Region, cover: Region) -> Array:
        """A plane of the file at the image's resolution, cut to the region."""
        rows, columns = self.factor
        if self.factor == (1, 1):
            return plane
        top, left = region.top - cover.top * rows, region.left - cover.left * columns
        large = plane.repeat(rows, 0).repeat(columns, 1)
        return large[top : top + region.height, left : left + region.width]

    def _valid(self, stored: Array, cover: Region, size: Size | None) -> Array | None:
        found = [self.handles.read_mask(index, cover, size) for index in self.masks.own]
        if self.masks.alphas:
            alphas = self.handles.read(self.masks.alphas, cover, size)
            self._note(alphas)
            found += [alpha > 0 for alpha in alphas]
        if self.masks.beside is not None:
            found += [mask != 0 for mask in self.masks.beside.read((1,), cover, size)]
        if stored.dtype.kind == "f" and np.isnan(stored).any():
            found += [~np.isnan(plane) for plane in stored]
        return np.logical_and.reduce(found) if found else None

    def _filled(self, stored: Array) -> Array | None:
        """See `PartRead`; one dark band is data."""
        if not self.nodata:
            return None
        filled = np.zeros(stored.shape[1:], bool)
        for plane, nodata in zip(stored, self.nodata, strict=True):
            if nodata is None:
                return None
            filled |= ~is_nodata(plane, nodata)
            if filled.all():
                return None
        return filled

    def _note(self, alphas: Array) -> None:
        if len(self.alpha_values) < _MOST_VALUES:
            found = np.unique(alphas)
            with self._lock:
                self.alpha_values.update(found[found > 0][:_MOST_VALUES].tolist())


def _colours(palette: Array, values: Array) -> Array:
    """Red, green and blue `[3, h, w]` of a plane of numbers of a palette; of numbers that it lacks, black."""
    within = np.minimum(values.astype(np.intp), len(palette))
    return np.vstack((palette, np.zeros((1, 3), np.uint8)))[within].transpose(2, 0, 1)
