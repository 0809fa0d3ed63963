"""The mask of a raster that lies in a file beside it, `<name>.msk`.

Of local files GDAL reads it itself; it would do so with any of its drivers, so the file is looked at first. Of
objects GDAL is kept from looking for more files, and the mask is opened here.
"""

from maskbeam.pipeline.inputs.readers.handles import TIFF_BEGINNINGS, Handles, RasterFile
from maskbeam.pipeline.storage import LOST, open_input
from maskbeam.transforms.errors import Code, ImageError

_ENDING = ".msk"


def check_mask_beside(file: RasterFile) -> bool:
    """True where a mask lies beside a file.

    Raises:
        ImageError: UNSUPPORTED_FORMAT for one that is no TIFF.
        RunError: Storage refuses or fails.
    """
    uri = file.uri + _ENDING
    try:
        head = open_input(uri).read(uri, limit=4)
    except LOST:
        return False
    if head not in TIFF_BEGINNINGS:
        raise ImageError(Code.UNSUPPORTED_FORMAT, "the mask beside it, a file that ends in .msk, is no TIFF")
    return True


def open_mask_beside(image: Handles) -> Handles:
    """The mask that lies beside an object; raises as `Handles`."""
    return Handles(RasterFile(image.file.uri + _ENDING, image.file.name), image.watch)
