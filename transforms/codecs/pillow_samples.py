"""From an opened Pillow image to the samples that its file holds, colours expanded, at their full depth.

Pillow keeps colour images at 8 bits and reads 16-bit ones by dropping the lower byte. Its unpackers are named by
byte order, so the file is read a second time with the other order, which drops the upper byte instead.
"""

import sys
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
from PIL import ImagePalette
from PIL.Image import Image as PilImage
from PIL.Image import Transpose
from PIL.ImageFile import ImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

from maskbeam.transforms.codecs.pillow_formats import Opener, decoder_errors
from maskbeam.transforms.codecs.png_rows import load_png
from maskbeam.transforms.codecs.tiff_jpeg import check_parts
from maskbeam.transforms.elements import Array
from maskbeam.transforms.errors import ImageError

# What only maps carry: georeference (GeoTIFF 1.1, section 7), and GDAL's own metadata and value for missing pixels.
_OF_MAPS = {33550, 33922, 34264, 34735, 34736, 34737, 42112, 42113}
_PHOTOMETRIC, _ORIENTATION, _PLANAR, _COLOR_MAP, _SAMPLE_FORMAT = 262, 274, 284, 320, 339
# What must be asked for so that a tile gives the lower bytes where it would give the upper ones.
_OTHER = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
_LOWER = {f"{bands};16{order}": f"{bands};16{_OTHER[order]}" for bands in ("RGB", "RGBA", "RGBX") for order in _OTHER}
# No unpacker gives the lower bytes of grey with alpha; taken for 8-bit RGBA its four bytes come out as they lie.
_GREY_ALPHA = "LA;16B"

# Of these only the upper 8 of 16 bits are read: Pillow turns them into RGB as it goes.
_CUT = {f"{bands};16{order}" for bands in ("RGBa", "CMYK") for order in _OTHER}
# What 2- and 4-bit grey is multiplied with to be spread over 0..255; Pillow leaves the transparent one as it is.
_SPREAD = {"L;2": 85, "L;4": 17}
# libtiff gives bytes in the machine's order, which Pillow forgets of floats and of signed numbers.
_NATIVE = {
    f"{values}{order}{kind}": f"{values}N{kind}"
    for values, kind in (("F;32", "F"), ("I;32", "S"), ("I;16", "S"))
    for order in ("", "B")
}
_EXPANDED = {"1": "L", "P": "RGB", "PA": "RGBA", "La": "LA", "RGBa": "RGBA", "CMYK": "RGB", "YCbCr": "RGB"}
_TRANSPARENT = {"1": "LA", "L": "LA", "P": "RGBA", "RGB": "RGBA"}
_AS_THEY_ARE = ("L", "LA", "RGB", "RGBA", "I", "F")
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


class Samples(NamedTuple):
    """What a file holds: `values` `[H, W, C]` of any real type, and `alpha` `[H, W, 1]` or None.

    Alpha is uint8 (255 = opaque) beside uint8 values and float32 (1 = opaque) beside others. `is_alpha` is False
    where it may be another band: GDAL calls the fourth band of 8-bit pictures alpha, near infrared too, unless it is
    told otherwise. `is_cut` is True where `values` are the upper halves of the file's.
    """

    values: Array
    alpha: Array | None = None
    is_alpha: bool = True
    is_cut: bool = False


def read_samples(image: ImageFile, reopen: Opener) -> Samples:
    """Decodes an opened image; `reopen` opens it once more where one pass cannot give all bits.

    Of several frames or pages the first is read. Palettes are expanded, CMYK and YCbCr become RGB by Pillow's rule
    (colour profiles are not applied), 2- and 4-bit grey is spread over 0..255, bands of a TIFF that are neither
    colour nor alpha are left out. Samples lie as they are stored: an orientation in the header is not applied.

    Raises:
        ImageError: UNSUPPORTED_FORMAT for a colour space without a rule.
    """
    if isinstance(image, TiffImageFile):
        return _tiff_samples(image, reopen)
    return _all_bits(image, reopen, None)


def orientation(image: PilImage) -> int:
    """The EXIF orientation, 1 to 8; 1 (as stored) when there is none, or none that can be read."""
    try:
        found = PilImage.getexif(image).get(_ORIENTATION, 1)  # that of PNG's own class would decode the pixels
    except Exception:  # a header without meaning must not cost an image whose pixels are sound
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def turned_upright(pixels: Array, orientation: int) -> Array:
    """Pixels `[H, W, C]` as their EXIF orientation says that they are to be seen; a view, `[W, H, C]` for 5 to 8."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels[::-1] if orientation in (3, 4, 7, 8) else pixels


def _tiff_samples(image: TiffImageFile, reopen: Opener) -> Samples:
    """Mends what Pillow reads wrongly without a word: signs, 16 bits with white as zero, byte orders."""
    tags = image.tag_v2
    if image.mode in ("P", "PA") and max(tags.get(_COLOR_MAP, ()), default=256) < 256:
        # Colours have 16 bits. As libtiff does it, and so OpenCV and GDAL: where all are below 256 they have eight.
        image.palette = ImagePalette.raw("RGB;L", bytes(tags[_COLOR_MAP]))
    unsigned = image.mode == "I" and set(tags.get(_SAMPLE_FORMAT, (1,))) == {1}
    signed = image.mode == "L" and set(tags.get(_SAMPLE_FORMAT, ())) == {2}
    inverted = image.mode == "I;16" and tags.get(_PHOTOMETRIC) == 0
    _check_tiles(image)
    if image.tile and image.tile[0].codec_name == "libtiff":
        _rename(image, _NATIVE)
    data = image.fp.getvalue() if isinstance(image.fp, BytesIO) else b""
    samples = _all_bits(image, reopen, _BACK.get(orientation(image)))
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


def _check_tiles(image: TiffImageFile) -> None:
    """Makes sure that strips or tiles cover the image; where there are none Pillow leaves it black."""
    boxes = [tile.extents or (0, 0, *image.size) for tile in image.tile]
    areas = [(right - left) * (low - top) for left, top, right, low in boxes]
    layers = len(image.getbands()) if {"raw", "packbits"} & {tile.codec_name for tile in image.tile} else 1
    apart = layers if image.tag_v2.get(_PLANAR) == 2 else 1
    if sum(areas) < image.width * image.height * apart:
        raise ImageError("UNREADABLE", "its header promises more rows than it has strips or tiles")


def _all_bits(image: ImageFile, reopen: Opener, turned: Transpose | None) -> Samples:
    args: Any = image.tile[0].args if image.tile else ""
    rawmode = args[0] if isinstance(args, tuple) and args else args
    if rawmode == _GREY_ALPHA or rawmode in _LOWER:
        return _sixteen_bit(image, reopen, rawmode, turned)
    if rawmode in _SPREAD and "transparency" in image.info:
        image.info["transparency"] *= _SPREAD[rawmode]
    return _expanded(_decoded(image, turned))._replace(is_cut=rawmode in _CUT)


def _decoded(image: ImageFile, turned: Transpose | None) -> PilImage:
    with decoder_errors():
        load_png(image) if isinstance(image, PngImageFile) else image.load()
    return image if turned is None else image.transpose(turned)


def _expanded(image: PilImage) -> Samples:
    if image.mode.startswith("I;16"):
        values = np.asarray(image)[..., np.newaxis].astype(np.uint16, copy=False)
        return Samples(values, _color_key(values, image.info.get("transparency")))
    wanted = (_TRANSPARENT if "transparency" in image.info else _EXPANDED).get(image.mode, image.mode)
    if wanted not in _AS_THEY_ARE:
        raise ImageError(
            "UNSUPPORTED_FORMAT", f"its colours are {wanted}, for which there is no rule: convert it to RGB"
        )
    values = np.asarray(image if wanted == image.mode else image.convert(wanted))
    values = values.reshape(*values.shape[:2], -1)
    if wanted.endswith("A"):
        return Samples(values[..., :-1], values[..., -1:])
    return Samples(values)


def _sixteen_bit(image: ImageFile, reopen: Opener, rawmode: str, turned: Transpose | None) -> Samples:
    key = image.info.get("transparency")
    if rawmode == _GREY_ALPHA:
        values: Array = _bytes_of(image, {rawmode: "RGBA"}, None).view(">u2").astype(np.uint16)
    else:
        upper = _bytes_of(image, {}, turned)
        values = upper.astype(np.uint16) << 8 | _bytes_of(reopen(), _LOWER, turned)
    if values.shape[2] in (2, 4):
        return Samples(values[..., :-1], values[..., -1:] / np.float32(65535))
    return Samples(values, _color_key(values, key))


def _bytes_of(image: ImageFile, rawmodes: dict[str, str], turned: Transpose | None) -> Array:
    _rename(image, rawmodes)
    return np.asarray(_decoded(image, turned))


def _rename(image: ImageFile, rawmodes: dict[str, str]) -> None:
    image.tile = [tile._replace(args=_renamed(tile.args, rawmodes)) for tile in image.tile]


def _renamed(args: Any, rawmodes: dict[str, str]) -> Any:
    if isinstance(args, tuple):
        return (rawmodes.get(args[0], args[0]), *args[1:])
    return rawmodes.get(args, args)


def _color_key(values: Array, key: Any) -> Array | None:
    """Alpha `[H, W, 1]` of an image in which one value, or one colour, stands for transparent."""
    if key is None:
        return None
    opaque: Array = (values != np.asarray(key)).any(-1, keepdims=True).astype(np.float32)
    return opaque
