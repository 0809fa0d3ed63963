"""From an opened Pillow image to the samples that its file holds, colours expanded, at their full depth.

Pillow keeps colour images at 8 bits and reads 16-bit ones by dropping the lower byte. Its unpackers are named by
byte order, so the file is read a second time with the other order, which drops the upper byte instead.
"""

import re
import sys
from collections.abc import Callable, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from PIL.Image import Image as PilImage
from PIL.Image import Transpose
from PIL.ImageFile import ImageFile

from maskbeam.transforms.codecs.codec import Samples
from maskbeam.transforms.codecs.pillow_errors import decoder_errors
from maskbeam.transforms.elements import Array
from maskbeam.transforms.errors import Code, ImageError

T = TypeVar("T", bound=ImageFile)
_ORIENTATION = 274
# What must be asked for so that a tile gives the lower bytes where it would give the upper ones.
_OTHER = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
_LOWER = {f"{bands};16{order}": f"{bands};16{_OTHER[order]}" for bands in ("RGB", "RGBA", "RGBX") for order in _OTHER}
# No unpacker gives the lower bytes of grey with alpha; taken for 8-bit RGBA its four bytes come out as they lie.
_GREY_ALPHA = "LA;16B"

# Of these only the upper 8 of 16 bits are read: Pillow turns them into RGB as it goes.
_CUT = {f"{bands};16{order}" for bands in ("RGBa", "CMYK") for order in _OTHER}
# What 2- and 4-bit grey is multiplied with to be spread over 0..255; Pillow leaves the transparent one as it is.
_SPREAD = {"L;2": 85, "L;4": 17}
_EXPANDED = {"1": "L", "P": "RGB", "PA": "RGBA", "La": "LA", "RGBa": "RGBA", "CMYK": "RGB", "YCbCr": "RGB"}
_TRANSPARENT = {"1": "LA", "L": "LA", "P": "RGBA", "RGB": "RGBA"}
_AS_THEY_ARE = ("L", "LA", "RGB", "RGBA", "I", "F")


def _load(image: ImageFile) -> None:
    image.load()


class Opened(NamedTuple, Generic[T]):
    """An image that Pillow has opened.

    Attributes:
        image: The image, not decoded yet.
        reopen: Opens it once more, where one pass cannot give all bits.
        load: Decodes the pixels of either.
    """

    image: T
    reopen: Callable[[], T]
    load: Callable[[T], None] = _load


def read_samples(opened: Opened[T], turned: Transpose | None = None) -> Samples:
    """Decodes an opened image.

    Of several frames or pages the first is read. Palettes are expanded, CMYK and YCbCr become RGB by Pillow's rule
    (colour profiles are not applied), 2- and 4-bit grey is spread over 0..255. Samples lie as they are stored: an
    orientation in the header is not applied.

    Args:
        opened: The image.
        turned: How pixels are turned once Pillow has decoded them.

    Raises:
        ImageError: UNREADABLE; UNSUPPORTED_FORMAT for a colour space without a rule.
    """
    image = opened.image
    args: Any = image.tile[0].args if image.tile else ""
    rawmode = args[0] if isinstance(args, tuple) and args else args
    if rawmode == _GREY_ALPHA or rawmode in _LOWER:
        return _sixteen_bit(opened, rawmode, turned)
    if rawmode in _SPREAD and "transparency" in image.info:
        image.info["transparency"] *= _SPREAD[rawmode]
    return _expanded(_decoded(image, opened, turned))._replace(is_cut=rawmode in _CUT)


def read_indices(opened: Opened[T], turned: Transpose | None = None) -> tuple[Array, Array]:
    """Decodes an opened palette image: places in its palette, uint8 `[H, W]`, and that, uint8 `[P, 3]`.

    Raises:
        ImageError: UNREADABLE.
    """
    image = _decoded(opened.image, opened, turned)
    return np.asarray(image), np.array(image.getpalette("RGB") or (), np.uint8).reshape(-1, 3)


def grey_step(image: ImageFile) -> int:
    """The number that grey of fewer than 8 bits is multiplied with when it is decoded; else 1. Asked before that."""
    args: Any = image.tile[0].args if image.tile else ""
    rawmode = str(args[0] if isinstance(args, tuple) and args else args)
    bits = re.match(r"L;([24])[IR]*\Z", rawmode)
    return 255 if image.mode == "1" else _SPREAD[f"L;{bits[1]}"] if bits else 1


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


def _decoded(image: T, opened: Opened[T], turned: Transpose | None) -> PilImage:
    with decoder_errors():
        opened.load(image)
    return image if turned is None else image.transpose(turned)


def _expanded(image: PilImage) -> Samples:
    if image.mode.startswith("I;16"):
        values = np.asarray(image)[..., np.newaxis].astype(np.uint16, copy=False)
        return Samples(values, _color_key(values, image.info.get("transparency")))
    wanted = (_TRANSPARENT if "transparency" in image.info else _EXPANDED).get(image.mode, image.mode)
    if wanted not in _AS_THEY_ARE:
        raise ImageError(
            Code.UNSUPPORTED_FORMAT, f"its colours are {wanted}, for which there is no rule: convert it to RGB"
        )
    values = np.asarray(image if wanted == image.mode else image.convert(wanted))
    values = values.reshape(*values.shape[:2], -1)
    if wanted.endswith("A"):
        return Samples(values[..., :-1], values[..., -1:])
    return Samples(values)


def _sixteen_bit(opened: Opened[T], rawmode: str, turned: Transpose | None) -> Samples:
    image = opened.image
    key = image.info.get("transparency")
    if rawmode == _GREY_ALPHA:
        rename(image, {rawmode: "RGBA"})
        values: Array = np.asarray(_decoded(image, opened, None)).view(">u2").astype(np.uint16)
    else:
        upper = np.asarray(_decoded(image, opened, turned))
        lower = opened.reopen()
        rename(lower, _LOWER)
        values = upper.astype(np.uint16) << 8 | np.asarray(_decoded(lower, opened, turned))
    if values.shape[2] in (2, 4):
        return Samples(values[..., :-1], values[..., -1:] / np.float32(65535))
    return Samples(values, _color_key(values, key))


def rename(image: ImageFile, rawmodes: Mapping[str, str]) -> None:
    """Lets an opened image's pixels be unpacked as other modes, by the names of those in its header."""
    image.tile = [tile._replace(args=_renamed(tile.args, rawmodes)) for tile in image.tile]


def _renamed(args: Any, rawmodes: Mapping[str, str]) -> Any:
    if isinstance(args, tuple):
        return (rawmodes.get(args[0], args[0]), *args[1:])
    return rawmodes.get(args, args)


def _color_key(values: Array, key: Any) -> Array | None:
    """Alpha `[H, W, 1]` of an image in which one value, or one colour, stands for transparent."""
    if key is None:
        return None
    opaque: Array = (values != np.asarray(key)).any(-1, keepdims=True).astype(np.float32)
    return opaque
