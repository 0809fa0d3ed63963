"""References become pixels as they are stored: values of classes, places in a palette, or colours."""

from dataclasses import dataclass
from math import prod

from maskbeam.transforms.budget import admit
from maskbeam.transforms.codecs.codec import Request
from maskbeam.transforms.codecs.decode import MAX_PIXELS
from maskbeam.transforms.codecs.registry import codec_for
from maskbeam.transforms.elements import Array
from maskbeam.transforms.errors import Code, ImageError


@dataclass(frozen=True, eq=False)
class ReferencePixels:
    """The pixels of a reference.

    Attributes:
        pixels: Whole numbers `[H, W]`, or colours uint8 `[H, W, 3]`.
        palette: Colours uint8 `[P, 3]` where numbers are places in it; None: there is no palette.
    """

    pixels: Array
    palette: Array | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        height, width = self.pixels.shape[:2]
        return height, width

    @property
    def is_color(self) -> bool:
        """True where pixels are colours themselves."""
        return self.pixels.ndim == 3


def decode_reference(data: bytes, *, max_pixels: int = MAX_PIXELS) -> ReferencePixels:
    """Decodes the file of a reference: the first image in it, as it is stored.

    Raises:
        ImageError: REFERENCE_UNREADABLE: it is no file of a format that is read, one that loses values as JPEG does,
            damaged, too large, or of values that are no whole numbers.
    """
    try:
        reader = codec_for(data).open(data, Request(max_pixels))
        if reader.is_lossy:
            raise unreadable("it is a JPEG or WebP, which changes values when it is written; save it as PNG")
        admit(prod(reader.size) * reader.pixel_bytes)
        values, palette = reader.read_labels()
    except MemoryError:
        raise unreadable("there was not enough memory to decode it") from None
    except ImageError as error:
        if error.code is Code.TOO_LARGE:
            raise unreadable(f"it has more than {max_pixels} pixels") from None
        raise unreadable(error.reason) from None
    if values.dtype.kind not in "ui" or (values.ndim == 3 and values.shape[2] != 3):
        raise unreadable(f"it holds {_held(values)}, where whole numbers or colours of 8 bits are expected")
    if values.ndim == 3 and values.dtype != "uint8":
        raise unreadable(f"it holds {_held(values)}; colours of classes have 8 bits")
    return ReferencePixels(values, palette)


def unreadable(reason: str) -> ImageError:
    """The error of a reference that cannot be read."""
    return ImageError(Code.REFERENCE_UNREADABLE, reason)


def _held(values: Array) -> str:
    bands = values.shape[2] if values.ndim == 3 else 1
    return f"{values.dtype.name} in {bands} bands" if bands > 1 else values.dtype.name
