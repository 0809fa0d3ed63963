"""The header of a raster file as plain values; no pixel is read for it."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from maskbeam.pipeline.inputs.readers.gdal import GEOTIFF, gdal_failures
from maskbeam.pipeline.inputs.readers.ground import Ground, Transform
from maskbeam.transforms.elements import Array, GroundPoint
from maskbeam.transforms.errors import Code, ImageError

_MOST_BLOCK_BYTES = 256 << 20
_NO_TRANSFORM: Transform = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


@dataclass(frozen=True, eq=False)
class Layout:
    """The facts that a raster file tells of itself.

    Attributes:
        ground: Its size and place.
        dtypes: The type of each band's values, as numpy calls it.
        names: Each band's description; empty where it has none.
        colours: GDAL's word for what each band shows: `red`, `gray`, `alpha`, `palette`, `undefined`.
        nodata: Each band's no-data value, or None.
        masked: True for each band that a mask belongs to, inside the file or beside it.
        one_mask: True where one mask belongs to all bands.
        scales: Each band's factor to the file's own units.
        offsets: What is added then.
        block: Height and width of the tiles, or strips, that it is stored in.
        together: True where a tile holds all bands.
        palette: Red, green and blue of each value `[N, 3]` uint8, or None.
    """

    ground: Ground
    dtypes: tuple[str, ...]
    names: tuple[str, ...]
    colours: tuple[str, ...]
    nodata: tuple[float | None, ...]
    masked: tuple[bool, ...]
    one_mask: bool
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    block: tuple[int, int]
    together: bool
    palette: Array | None

    @property
    def is_tiled(self) -> bool:
        """True where its blocks are no strips."""
        return self.block[1] != self.ground.size[1]

    def block_bytes(self, bands: int) -> int:
        """The bytes of one block, of so many bands where each lies in blocks of its own."""
        values = sum(np.dtype(dtype).itemsize for dtype in self.dtypes)
        each = math.prod(self.block) * values
        return each if self.together else math.ceil(each * bands / len(self.dtypes))


def layout_of(handle: Any) -> Layout:
    """The layout of an opened `rasterio.DatasetReader`.

    Raises:
        ImageError: TOO_LARGE for strips or tiles that would fill the memory one by one; UNREADABLE for a header that
            is damaged, or a file without pixels.
    """
    try:
        found = _layout(handle)
    except gdal_failures():  # names that are no UTF-8, a CRS or a colour that is none
        raise ImageError(Code.UNREADABLE, "its header is damaged") from None
    if min(found.ground.size) < 1:
        raise ImageError(Code.UNREADABLE, "it has no pixels")
    check_transform(found.ground.transform)
    _check_block(found)
    return found


def _layout(handle: Any) -> Layout:
    colours = tuple(colour.name for colour in handle.colorinterp)
    return Layout(
        ground=_ground(handle),
        dtypes=tuple(handle.dtypes),
        names=tuple(name or "" for name in handle.descriptions),
        colours=colours,
        nodata=tuple(handle.nodatavals),
        masked=tuple(_is_masked(flags) for flags in handle.mask_flag_enums),
        one_mask=any(flag.name == "per_dataset" for flag in handle.mask_flag_enums[0]),
        scales=tuple(handle.scales),
        offsets=tuple(handle.offsets),
        block=tuple(handle.block_shapes[0]),
        together=_is_together(handle),
        palette=_palette(handle.colormap(1)) if colours == ("palette",) else None,
    )


def check_transform(transform: Transform | None) -> None:
    """Raises ImageError (UNREADABLE) for a transform that gives a pixel no ground, which a damaged file may have."""
    if transform is None:
        return
    a, b, _, d, e, _ = transform
    area = a * e - b * d
    if not all(map(math.isfinite, transform)) or not math.isfinite(area) or area == 0:
        raise ImageError(Code.UNREADABLE, f"its transform, {transform}, gives a pixel no ground: correct it")


def _check_block(layout: Layout) -> None:
    size = layout.block_bytes(1)
    if size > _MOST_BLOCK_BYTES:
        kind = "tile" if layout.is_tiled else "strip"
        raise ImageError(
            Code.TOO_LARGE,
            f"one {kind} of it, {layout.block[0]} x {layout.block[1]} pixels, takes {size >> 20} MiB, over "
            f"{_MOST_BLOCK_BYTES >> 20}: rewrite it, gdal_translate -co TILED=YES -co COMPRESS=DEFLATE IN OUT",
        )


def _ground(handle: Any) -> Ground:
    points, points_crs = handle.gcps
    transform: Transform = tuple(handle.transform)[:6]
    placed = transform != _NO_TRANSFORM or (handle.crs is not None and not points)
    crs = (handle.crs if placed else points_crs) or None
    return Ground(
        size=tuple(handle.shape),
        transform=transform if placed else None,
        crs=crs,
        wkt="" if crs is None else str(crs.to_wkt()),
        points=() if placed else tuple(GroundPoint(p.row, p.col, p.x, p.y, p.z or 0.0) for p in points),
    )


def _is_together(handle: Any) -> bool:
    # JPEG 2000 always is; to ask GDAL, which then reads all boxes of the file, does not end where these are damaged.
    if handle.driver != GEOTIFF:
        return True
    return handle.interleaving is not None and bool(handle.interleaving.name == "pixel")


def _is_masked(flags: Any) -> bool:
    # Transparency is a band; of what has neither flag, the mask is an image of its own.
    return not {flag.name for flag in flags} & {"all_valid", "nodata", "alpha"}


def _palette(colours: dict[int, tuple[int, ...]]) -> Array:
    table = np.zeros((max(colours) + 1, 3), np.uint8)
    for value, colour in colours.items():
        table[value] = colour[:3]
    return table
