"""From an opened TIFF to its samples, where Pillow alone would read other ones."""

from io import BytesIO

import numpy as np
from PIL import ImagePalette
from PIL.Image import Transpose
from PIL.TiffImagePlugin import TiffImageFile

from maskbeam.transforms.codecs.codec import Samples
from maskbeam.transforms.codecs.pillow_errors import decoder_errors
from maskbeam.transforms.codecs.pillow_samples import Opened, orientation, read_indices, read_samples, rename
from maskbeam.transforms.codecs.tiff_jpeg import check_parts
from maskbeam.transforms.elements import Array
from maskbeam.transforms.errors import Code, ImageError

# What only maps carry: georeference (GeoTIFF 1.1, section 7), and GDAL's own metadata and value for missing pixels.
_OF_MAPS = {33550, 33922, 34264, 34735, 34736, 34737, 42112, 42113}
_PHOTOMETRIC, _PLANAR, _COLOR_MAP, _SAMPLE_FORMAT = 262, 284, 320, 339
# libtiff gives bytes in the machine's order, which Pillow forgets of floats and of signed numbers.
_NATIVE = {
    f"{values}{order}{kind}": f"{values}N{kind}"
    for values, kind in (("F;32", "F"), ("I;32", "S"), ("I;16", "S"))
    for order in ("", "B")
}
# Pillow turns TIFFs as their orientation says; the mask must lie as the file does, so they are turned back.
_BACK = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_90,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_270,
}


def tiff_samples(opened: Opened[TiffImageFile]) -> Samples:
    """Decodes an opened TIFF; bands that are neither colour nor alpha are left out.

    What Pillow reads wrongly without a word is put right: signs, 16 bits with white as zero, byte orders.

    Raises:
        ImageError: As `read_samples`.
    """
    image = opened.image
    tags = image.tag_v2
    _mend_palette(image)
    unsigned = image.mode == "I" and set(tags.get(_SAMPLE_FORMAT, (1,))) == {1}
    signed = image.mode == "L" and set(tags.get(_SAMPLE_FORMAT, ())) == {2}
    inverted = image.mode == "I;16" and tags.get(_PHOTOMETRIC) == 0
    _check_tiles(image)
    if image.tile and image.tile[0].codec_name == "libtiff":
        rename(image, _NATIVE)
    data = image.fp.getvalue() if isinstance(image.fp, BytesIO) else b""
    samples = read_samples(opened, _BACK.get(orientation(image)))
    values = samples.values
    with decoder_errors():
        check_parts(data, tags, values)
    if signed:
        values = values.view(np.int8)
    elif unsigned:
        values = values.view(np.uint32)
    elif inverted:
        values = 65535 - values
    return samples._replace(values=values, is_alpha=_OF_MAPS.isdisjoint(tags))


def tiff_indices(opened: Opened[TiffImageFile]) -> tuple[Array, Array]:
    """Decodes an opened TIFF that has a palette: places in it, uint8 `[H, W]`, and that, uint8 `[P, 3]`.

    Raises:
        ImageError: UNREADABLE.
    """
    image = opened.image
    _mend_palette(image)
    _check_tiles(image)
    return read_indices(opened, _BACK.get(orientation(image)))


def _mend_palette(image: TiffImageFile) -> None:
    tags = image.tag_v2
    if image.mode in ("P", "PA") and max(tags.get(_COLOR_MAP, ()), default=256) < 256:
        # Colours have 16 bits. As libtiff does it, and so OpenCV and GDAL: where all are below 256 they have eight.
        image.palette = ImagePalette.raw("RGB;L", bytes(tags[_COLOR_MAP]))


def _check_tiles(image: TiffImageFile) -> None:
    """Makes sure that strips or tiles cover the image; where there are none Pillow leaves it black."""
    boxes = [tile.extents or (0, 0, *image.size) for tile in image.tile]
    areas = [(right - left) * (low - top) for left, top, right, low in boxes]
    layers = len(image.getbands()) if {"raw", "packbits"} & {tile.codec_name for tile in image.tile} else 1
    apart = layers if image.tag_v2.get(_PLANAR) == 2 else 1
    if sum(areas) < image.width * image.height * apart:
        raise ImageError(Code.UNREADABLE, "its header promises more rows than it has strips or tiles")
