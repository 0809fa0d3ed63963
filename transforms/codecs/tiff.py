"""TIFF and BigTIFF, of whose images the first is read."""

import ctypes
from contextlib import suppress
from typing import Final

import PIL._imaging
from PIL.TiffImagePlugin import TiffImageFile

from maskbeam.transforms.codecs.codec import Reader, Request, Samples
from maskbeam.transforms.codecs.pillow_codec import PillowCodec, PillowReader
from maskbeam.transforms.codecs.pillow_errors import BY_GDAL
from maskbeam.transforms.codecs.pillow_samples import Opened
from maskbeam.transforms.codecs.refusals import OF_CAMERA_RAW
from maskbeam.transforms.codecs.signatures import CAMERA_RAW, looks_like_another
from maskbeam.transforms.codecs.tiff_samples import tiff_indices, tiff_samples
from maskbeam.transforms.codecs.tiff_tags import BANDS_APART, BARE_YCBCR, BIG_ENDIAN, unread_kind, with_bands_together
from maskbeam.transforms.elements import Array
from maskbeam.transforms.errors import Code, ImageError

_BEGINS = (b"II*\0", b"MM\0*", b"II\0*", b"MM*\0", b"II+\0", b"MM\0+")
# What to do with those that are not decoded.
_UNREAD = {
    CAMERA_RAW: OF_CAMERA_RAW,
    BANDS_APART: "it stores one band after another, and such TIFFs are read in 8 bits and without extra bands only: "
    f"write it with three bands side by side ({BY_GDAL}), or convert it to PNG",
    BIG_ENDIAN: f"it is a {BIG_ENDIAN}, which is not decoded; write it with -co ENDIANNESS=LITTLE in GDAL, or as a "
    "plain TIFF",
    BARE_YCBCR: f"it is a {BARE_YCBCR}, which is not decoded; convert it to RGB, or write it with JPEG compression",
}


def _silence_libtiff() -> None:
    """Keeps libtiff from writing to the console what it thinks of a file, thread by thread and quoting its values.

    What it cannot decode raises an exception all the same. Where it is built into Pillow it cannot be reached.
    """
    library = ctypes.CDLL(PIL._imaging.__file__)
    for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
        with suppress(AttributeError):
            getattr(library, name)(None)


_silence_libtiff()


class _TiffReader(PillowReader[TiffImageFile]):
    def _samples(self) -> Samples:
        return tiff_samples(self._opened)

    def _indices(self) -> tuple[Array, Array]:
        return tiff_indices(self._opened)


class _Tiff(PillowCodec[TiffImageFile]):
    def open(self, data: bytes, request: Request) -> Reader:
        if kind := unread_kind(data):
            other = f"it is a {kind}, which is not decoded; write it with LZW, Deflate or none"
            raise ImageError(Code.UNSUPPORTED_FORMAT, _UNREAD.get(kind, other))
        open_image = self.opener(with_bands_together(data), request.max_pixels)
        return _TiffReader(Opened(open_image(), open_image))


def _begins(head: bytes) -> bool:
    return head.startswith(_BEGINS) and not looks_like_another(head)


TIFF: Final = _Tiff("TIFF", (".tif", ".tiff"), TiffImageFile, _begins)
