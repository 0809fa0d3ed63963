"""A raster, in one file or several, read region by region: its bands, their scale, and what is no data."""

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np

from maskbeam.pipeline.inputs.readers.ground import Ground
from maskbeam.pipeline.inputs.readers.handles import Handles, Size
from maskbeam.pipeline.inputs.readers.part import Part, PartRead
from maskbeam.pipeline.inputs.readers.pixel_values import Refusal, feed, says_invalid, scaled
from maskbeam.pipeline.inputs.readers.rules import OutOfRange, RasterRules
from maskbeam.transforms.budget import admit
from maskbeam.transforms.codecs.gdal import cache
from maskbeam.transforms.elements import Array, Grid, GroundPoints, Region
from maskbeam.transforms.errors import Code, ImageError

# Of transparency beside 0: its largest, and a few at an edge that was smoothed.
_FEW_VALUES = 4
#: The warning about transparency that may be none.
MANY_ALPHAS = (
    "a band that the file calls transparency has many values, and pixels where it is 0 count as no data: if it is "
    "data, as near infrared is, name it with --bands; if it is neither, say --nodata none"
)
# What a value takes as it is read, at its peak: as stored, in doubles, and as it is fed.
_VALUE_BYTES = 24


class RasterRead(NamedTuple):
    """A region of a raster.

    Attributes:
        values: `[h, w, C]`, 0..255 or with `raw` in the file's units; uint8 or float32, 0 where there is no data.
        valid: Bool `[h, w]`, True where there is data.
    """

    values: Array
    valid: Array


class Fed(NamedTuple):
    """A band that is fed.

    Attributes:
        label: What messages call it.
        dtype: The type of its stored values.
        part: The number of the part that it is read with.
        plane: The number of its plane there.
        number: Its number among the bands of all files, from 1.
        scale: Its factor to the units of the range.
        offset: What is added then.
    """

    label: str
    dtype: str
    part: int
    plane: int
    number: int
    scale: float = 1.0
    offset: float = 0.0

    @property
    def unit_dtype(self) -> str:
        """The type of its values in the units of the range."""
        return self.dtype if (self.scale, self.offset) == (1.0, 0.0) else "float64"


class Raster:
    """An image whose pixels are read region by region, from any number of threads; closed by its context.

    Its pixels are those of the first file that is fed. Other files' bands lie on the same grid, or their pixels are a
    whole number of times as large, and are repeated.

    Args:
        files: All its files.
        parts: Those of its files that are fed, the first one on the image's grid.
        fed: The bands that are fed, in this order.
        marks: The band that says where there is no data, or None.
        rules: How values are taken.
        window: Height in pixels of the regions that will be read, for the cache.

    Attributes:
        size: Height and width in pixels.
        grid: Where its pixels lie on the earth: by a transform, or by ground control points; None: nowhere.
        bands: Names, or else numbers, of the bands that are fed.
        numbers: Their numbers among the bands of all files, from 1.
        ranges: The values of each that become 0 and 255; None: they are fed as they are.
        dtype: The type of the values that `read` gives: uint8 or float32.
        stored: Types of the values as they are stored, band by band.
        block: Height and width of the tiles or strips of the first file.
        is_tiled: True where it is stored in tiles, not in strips.
        cache_bytes: What of GDAL's cache it asks for.
    """

    def __init__(
        self,
        files: Sequence[Handles],
        parts: Sequence[Part],
        fed: Sequence[Fed],
        marks: Part | None,
        rules: RasterRules,
        window: int,
    ) -> None:
        first, labels = parts[0].layout, tuple(band.label for band in fed)
        self._files, self._parts, self._fed, self._marks, self._rules = files, parts, fed, marks, rules
        self.ranges = rules.ranges_of(tuple(band.unit_dtype for band in fed), labels)
        self.size, self.block, self.is_tiled = first.ground.size, first.block, first.is_tiled
        self.grid = _grid(first.ground)
        self.bands = tuple(label.removeprefix("band ") for label in labels)
        self.numbers = tuple(band.number for band in fed)
        self.stored = tuple(band.dtype for band in fed)
        plain = {band.unit_dtype for band in fed} == {"uint8"} and not any(self.ranges)
        self.dtype = np.dtype(np.uint8 if plain else np.float32)
        self.cache_bytes = sum(_cache_bytes(part, window) for part in (*parts, *([marks] if marks else [])))
        cache.need(self, self.cache_bytes)
        self._pool = ThreadPoolExecutor(sum(part.handles.at_once for part in parts), "raster")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def channels(self) -> int:
        """The number of bands that are fed."""
        return len(self._fed)

    @property
    def facts(self) -> Mapping[str, str]:
        """`samples`, the types of its values where they are not all uint8, as `Origin.facts` has it."""
        kinds = sorted(set(self.stored))
        return {} if kinds == ["uint8"] else {"samples": ",".join(kinds)}

    @property
    def warnings(self) -> tuple[str, ...]:
        """The warnings that a user should get, as far as regions were read."""
        if max(len(part.alpha_values) for part in self._parts) <= _FEW_VALUES:
            return ()
        return (MANY_ALPHAS,)

    @property
    def begins_at_zero(self) -> bool:
        """True where the range of a band begins at 0, in the numbers that the file stores."""
        return not self._rules.apply_scale and any(scale is not None and scale[0] == 0 for scale in self.ranges)

    def look_at_alphas(self) -> None:
        """Reads a few places of transparency, if it has any, for `warnings`; errors as of `read`."""
        for part in self._parts:
            part.look_at_alphas()

    def read(self, region: Region, within: Array | None = None) -> RasterRead:
        """Reads a region that lies within the image.

        Args:
            region: Where it lies.
            within: Bool `[h, w]`, False where there is no data whatever the file says; None: the file alone tells.

        Raises:
            ImageError: UNREADABLE or BAD_VALUE_RANGE, each with the place in the image; SOURCE_MISSING,
                SOURCE_CHANGED.
        """
        self._check_inside(region)
        admit(math.prod(region.size) * self.channels * _VALUE_BYTES)
        found = self._read_parts(region)
        marks = None if self._marks is None else self._marks.read(region)
        return self._taken(found, marks, region.size, self._rules.out_of_range, self._refusal(region), within)

    def thumbnail(self, longest: int, *, bands: int | None = None) -> RasterRead:
        """All of it with at most `longest` pixels a side, for a person: values beyond the range become its ends.

        Args:
            longest: Of its height and width.
            bands: How many of the bands that are fed it has at most; where there is data all of them tell.

        Raises:
            ImageError: As `read`.
        """
        size = small_size(self.size, longest)
        admit(math.prod(size) * self.channels * _VALUE_BYTES)
        found = [part.thumbnail(size) for part in self._parts]
        marks = None if self._marks is None else self._marks.thumbnail(size)
        refusal = self._refusal(Region.whole(self.size))
        return self._taken([*map(_finite, found)], marks, size, "clip", refusal, bands=bands)

    def _taken(
        self,
        found: list[PartRead],
        marks: PartRead | None,
        size: Size,
        beyond: OutOfRange,
        refusal: Refusal,
        within: Array | None = None,
        bands: int | None = None,
    ) -> RasterRead:
        """Values as they are fed, and where there is data, of what was read of all parts."""
        valid = np.ones(size, bool) if within is None else within.copy()
        for mask in [each.valid for each in found if each.valid is not None]:
            valid &= mask
        filled = [each.filled for each in found if each.filled is not None]
        if len(filled) == len(found):
            valid &= np.logical_or.reduce(filled)
        if marks is not None and self._rules.invalid is not None:
            valid &= ~says_invalid(marks.planes[0], self._rules.invalid)
        planes = [scaled(found[band.part].planes[band.plane], band.scale, band.offset) for band in self._fed[:bands]]
        return RasterRead(feed(planes, valid, self.ranges[:bands], beyond, refusal), valid)

    def check_unchanged(self) -> None:
        """Raises ImageError (SOURCE_CHANGED, SOURCE_MISSING) where a file is not the one that was opened."""
        for file in self._files:
            file.check_unchanged()

    def close(self) -> None:
        """Closes its files, and gives its part of the cache back."""
        cache.let_go(self)
        self._pool.shutdown()
        for file in self._files:
            file.close()
        for part in self._parts:
            part.close()

    def _read_parts(self, region: Region) -> list[PartRead]:
        """All files' shares of a region; of several errors that of the first file."""
        if len(self._parts) == 1:
            return [self._parts[0].read(region)]
        # JPEG 2000 is slow to decode, and files far away are slow to come: side by side.
        reads = [self._pool.submit(part.read, region) for part in self._parts]
        wait(reads)
        return [each.result() for each in reads]

    def _check_inside(self, region: Region) -> None:
        bottom, right = region.top + region.height, region.left + region.width
        if min(region.top, region.left) < 0 or min(region.size) < 1 or bottom > self.size[0] or right > self.size[1]:
            raise ValueError(f"{region} does not lie within an image of {self.size[0]} x {self.size[1]}")

    def _refusal(self, region: Region) -> Refusal:
        def refusal(band: int, value: float, row: int, column: int) -> ImageError:
            scale = self.ranges[band]
            what = f"{value:.15g} at row {region.top + row}, column {region.left + column} of {self._fed[band].label}"
            if scale is None:
                return ImageError(
                    Code.BAD_VALUE_RANGE, f"{what} cannot be fed: --out_of_range ignore makes it no data"
                )
            lies = f"lies beyond the range {scale[0]:.15g} to {scale[1]:.15g}"
            return ImageError(Code.BAD_VALUE_RANGE, f"{what} {lies}: --out_of_range clip, or another --input_range")

        return refusal


def small_size(size: Size, longest: int) -> Size:
    """Height and width of every second, third ... pixel, as many as fit into `longest` a side."""
    step = -(-max(size) // longest)
    return -(-size[0] // step), -(-size[1] // step)


def _finite(read: PartRead) -> PartRead:
    """The same without what has no place on any scale: infinite values are no data to a person."""
    planes = [plane for plane in read.planes if plane.dtype.kind == "f" and not np.isfinite(plane).all()]
    if not planes:
        return read
    finite = np.logical_and.reduce([np.isfinite(plane) for plane in planes])
    return read._replace(valid=finite if read.valid is None else finite & read.valid)


def _grid(ground: Ground) -> Grid | GroundPoints | None:
    if ground.points:
        return GroundPoints(ground.wkt, ground.points)
    return None if ground.transform is None else Grid(ground.wkt, ground.transform)


def _cache_bytes(part: Part, window: int) -> int:
    """Two rows of a file's tiles; more where windows are higher, so that the next one beside finds them, too."""
    (rows, columns), layout = part.layout.block, part.layout
    high = -(-window // (rows * part.factor[0])) + 1
    # One less would have every tile decoded twice.
    wide = -(-layout.ground.size[1] // columns) + 1
    return high * wide * layout.block_bytes(len(part.indexes))
