"""From a file's bytes to an opened Pillow image: which formats are let in, how large they may be, what damage is.

The format is told by content, never by name, and its Pillow class is called directly: `PIL.Image.open` would offer
the bytes to every plugin that is installed, and complains of large images through process-wide warnings.
"""

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BytesIO

import PIL._imaging
import PIL.Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from maskbeam.transforms.codecs.png_chunks import bare_png, sound_png
from maskbeam.transforms.codecs.signatures import CAMERA_RAW, FETCH_IT, HEAD_BYTES, LFS_POINTER, format_of
from maskbeam.transforms.codecs.tiff_tags import BANDS_APART, BARE_YCBCR, BIG_ENDIAN, unread_kind, with_bands_together
from maskbeam.transforms.errors import ImageError


def _silence_libtiff() -> None:
    """Keeps libtiff from writing to the console what it thinks of a file, thread by thread and quoting its values.

    What it cannot decode raises an exception all the same. Where it is built into Pillow it cannot be reached.
    """
    library = ctypes.CDLL(PIL._imaging.__file__)
    for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
        with suppress(AttributeError):
            getattr(library, name)(None)


_silence_libtiff()
# Our cap is read from the header before anything is decoded. Pillow's own would warn, or refuse, on top of it.
PIL.Image.MAX_IMAGE_PIXELS = None

_CLASSES: dict[str, type[ImageFile]] = {
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "TIFF": TiffImageFile,
    "WebP": WebPImageFile,
    "BMP": BmpImageFile,
    "GIF": GifImageFile,
}
# What is made of a file whose pixels are sound and that Pillow would refuse, or read wrongly.
_MENDS: dict[type[ImageFile], Callable[[bytes], bytes]] = {
    PngImageFile: sound_png,
    TiffImageFile: with_bands_together,
}
# What Pillow says of a TIFF that is whole but organised in a way that it has no reader for.
_TIFF_UNKNOWN = ("unknown pixel mode", "unknown data organization", "Invalid value for samples per pixel")

_BY_GDAL = (
    "gdal_translate -b 1 -b 2 -b 3 -co PHOTOMETRIC=RGB -co INTERLEAVE=PIXEL, and of floats or 32 bits also "
    "-ot UInt16 -scale LOW HIGH 0 65535"
)
# What people find in the place of images, by how it begins: of PNGs and JPEGs line ends were altered, or bytes were
# taken for letters, of Latin-1 or of UTF-8, in which they are none.
_AS_TEXT = "it was copied or sent as text, which alters line ends or letters: fetch it again, byte by byte"
_WEB_PAGE = "it is a web page, or another text in XML, as servers send in place of an image: fetch it again"
_MISTAKEN = {
    **dict.fromkeys((b"\x89PNG", b"\xc2\x89PNG", b"\xef\xbf\xbdPNG"), _AS_TEXT),
    **dict.fromkeys((b"\xc3\xbf\xc3\x98\xc3\xbf", b"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"), _AS_TEXT),
    **dict.fromkeys((b"<!DOCTYPE", b"<!doctype", b"<html", b"<HTML", b"<?xml"), _WEB_PAGE),
}
_UNKNOWN = "its bytes are not those of a JPEG, PNG, TIFF, WebP, BMP or GIF file"
# What to do with TIFFs that it has no reader for.
_TIFFS = {
    BIG_ENDIAN: "write it with -co ENDIANNESS=LITTLE in GDAL, or as a plain TIFF",
    BARE_YCBCR: "convert it to RGB, or write it with JPEG compression",
}

Opener = Callable[[], ImageFile]


def opener(data: bytes, *, max_pixels: int) -> Opener:
    """A function that opens the image in `data`; each call gives a new image whose pixels are not decoded yet.

    Args:
        data: A whole JPEG, PNG, TIFF, WebP, BMP or GIF file.
        max_pixels: Images with more than this, height times width, are refused before anything is decoded.

    Raises:
        ImageError: UNREADABLE, UNSUPPORTED_FORMAT or TOO_LARGE.
    """
    image_class = _image_class(data)
    mend = _MENDS.get(image_class)
    sound = mend(data) if mend else data

    def open_image() -> ImageFile:
        image = _opened(image_class, sound)
        if image.width * image.height > max_pixels:
            raise too_large(image.width * image.height, max_pixels)
        return image

    return open_image


def _opened(image_class: type[ImageFile], data: bytes) -> ImageFile:
    try:
        with decoder_errors():
            return image_class(BytesIO(data))
    except ImageError:
        if image_class is not PngImageFile:
            raise
    # Nonsense in a comment or a colour profile is no damage to the pixels.
    with decoder_errors():
        return image_class(BytesIO(bare_png(data)))


def too_large(pixels: int, max_pixels: int) -> ImageError:
    """What an image of so many pixels is refused with."""
    return ImageError("TOO_LARGE", f"it has {pixels} pixels and --max_pixels is {max_pixels}")


def _image_class(data: bytes) -> type[ImageFile]:
    if not data:
        raise ImageError("UNREADABLE", "it holds no bytes at all")
    name = format_of(data[:HEAD_BYTES])
    name = (unread_kind(data) if name == "TIFF" else "") or name
    if name in _CLASSES:
        return _CLASSES[name]
    if name == LFS_POINTER:
        raise ImageError("UNREADABLE", FETCH_IT)
    if name:
        raise ImageError("UNSUPPORTED_FORMAT", _unsupported(name))
    what = next((words for begins, words in _MISTAKEN.items() if data.startswith(begins)), _UNKNOWN)
    raise ImageError("UNREADABLE", what)


def _unsupported(name: str) -> str:
    if name == CAMERA_RAW:
        return "it is a camera raw file, of which a thumbnail would be read; develop it to a TIFF, PNG or JPEG"
    if name == BANDS_APART:
        return (
            "it stores one band after another, and such TIFFs are read in 8 bits and without extra bands only: write "
            f"it with three bands side by side ({_BY_GDAL}), or convert it to PNG"
        )
    if name in _TIFFS:
        return f"it is a {name}, which is not decoded; {_TIFFS[name]}"
    if name.startswith("TIFF"):
        return f"it is a {name}, which is not decoded; write it with LZW, Deflate or none"
    return f"its format is {name}; JPEG, PNG, TIFF, WebP, BMP and GIF are read"


@contextmanager
def decoder_errors() -> Iterator[None]:
    """Turns whatever a decoder raises into an `ImageError` that repeats nothing of what the decoder said.

    Decoders fail with a dozen kinds of exceptions, and quote header values in them. Only calls of Pillow belong
    inside, or our own mistakes would be taken for damaged images.
    """
    try:
        yield
    except (MemoryError, ImageError):
        raise
    except Exception as error:
        code, reason = "UNREADABLE", "its data is damaged, cut short or of a kind that Pillow cannot read"
        if str(error) in _TIFF_UNKNOWN:
            code, reason = (
                "UNSUPPORTED_FORMAT",
                "Pillow cannot read a TIFF with its combination of bands, bits and colours; where three bands are "
                f"red, green and blue, let the file say so ({_BY_GDAL})",
            )
        elif str(error) == "cannot handle 12-bit layers":
            code, reason = (
                "UNSUPPORTED_FORMAT",
                "it is a JPEG of 12 bits a colour: convert it to 8 bits",
            )
        raise ImageError(code, reason) from None
