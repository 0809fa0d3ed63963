"""References of scenes: GeoTIFFs on the masks' own grid, held against them region by region."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np

from maskbeam.pipeline.output.finished_rows import damaged
from maskbeam.pipeline.output.geotiff.written_raster import WrittenRaster, opened
from maskbeam.transforms.classes.class_table import LARGEST_ID
from maskbeam.transforms.comparison.align import Alignment, align
from maskbeam.transforms.comparison.reference import ReferencePixels, unreadable
from maskbeam.transforms.elements import Array, Region
from maskbeam.transforms.errors import Code, ImageError

# Of a scene so many pixels a side are looked at before work starts.
_LOOKED_AT = 2048
# A strip or tile is decoded whole, whatever of it is asked for.
_BLOCK_BYTES = 256 << 20
_UNREAD = unreadable("it is no GeoTIFF that can be read, is damaged, or has strips or tiles of over 256 MB")


def aligned_regions(
    mask: str, reference: str, grid: dict[str, Any], how: Alignment
) -> Iterator[tuple[Region, Array, Array]]:
    """Brings a scene's reference and its mask together, without holding either whole.

    Args:
        mask: URI of the mask, a GeoTIFF.
        reference: URI of the reference, a GeoTIFF on the same grid. Pixels that it says to have no data are ignored.
        grid: The place of the mask, as its record has it.
        how: What pixels mean.

    Yields:
        Each region with class indexes of the reference and of the labels, as `align` gives them.

    Raises:
        ImageError: REFERENCE_GRID, REFERENCE_VALUE or REFERENCE_UNREADABLE.
        RunError: The mask is damaged.
    """
    with ExitStack() as files:
        theirs, ours = _open(files, reference, _UNREAD), _open(files, mask, damaged(mask))
        differs = _differs(theirs, ours, grid)
        if differs:
            raise ImageError(
                Code.REFERENCE_GRID, f"the reference lies on another grid than the mask: it has another {differs}"
            )
        for region in ours.regions():
            yield region, *align(_pixels(theirs, region), how, _labels(ours, region, mask))


def scene_thumbnail(uri: str) -> ReferencePixels:
    """Some pixels of a scene's reference, by which values are told; ImageError where it cannot be read."""
    with ExitStack() as files, _reading():
        file = _open(files, uri, _UNREAD)
        height, width = file.size
        return ReferencePixels(file.thumbnail((min(height, _LOOKED_AT), min(width, _LOOKED_AT))))


def _open(files: ExitStack, uri: str, error: Exception) -> WrittenRaster:
    try:
        file = files.enter_context(opened(uri))
    except ValueError:
        raise error from None
    if file.block_bytes > _BLOCK_BYTES:
        raise error
    return file


def _differs(theirs: WrittenRaster, ours: WrittenRaster, grid: dict[str, Any]) -> str:
    if theirs.size != ours.size:
        (height, width), (own_height, own_width) = theirs.size, ours.size
        return f"size, {width} x {height} and not {own_width} x {own_height}"
    return theirs.differs_in_place(grid)


def _pixels(file: WrittenRaster, region: Region) -> ReferencePixels:
    with _reading():
        pixels, valid = file.pixels(region), file.valid(region)
    if pixels.dtype.kind not in "ui" or pixels.shape[2:] not in ((), (3,)):
        raise unreadable(f"it holds {pixels.dtype.name}, where whole numbers or colours are expected")
    if pixels.ndim == 2 and not valid.all():
        pixels = np.where(valid, pixels.astype(np.result_type(pixels, np.uint16)), LARGEST_ID)
    return ReferencePixels(pixels)


def _labels(file: WrittenRaster, region: Region, uri: str) -> Array:
    try:
        return file.pixels(region)
    except ValueError:
        raise damaged(uri) from None


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except ValueError:
        raise _UNREAD from None
