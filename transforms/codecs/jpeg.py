"""JPEG: decoded by Pillow or a faster library, whole or not at all, at its full size or a reduced one."""

import struct
from collections.abc import Mapping
from io import BytesIO
from typing import Final

import numpy as np
from PIL import Image as Pillow
from PIL.JpegImagePlugin import JpegImageFile

from maskbeam.transforms.codecs.codec import Fetch, Reader, Request, Samples, Size, WritableCodec
from maskbeam.transforms.codecs.jpeg_ends import check_length, check_pixels, take_end_away
from maskbeam.transforms.codecs.jpeg_scans import check_scans
from maskbeam.transforms.codecs.pillow_codec import PillowCodec, PillowReader
from maskbeam.transforms.codecs.pillow_errors import decoder_errors
from maskbeam.transforms.codecs.pillow_samples import Opened
from maskbeam.transforms.elements import Array
from maskbeam.transforms.errors import ImageError

MAX_SIDE: Final = 65535
QUALITY: Final = 90
_BEGIN, _END = b"\xff\xd8", b"\xff\xd9"
_START_OF_SCAN, _COMMENT = 0xDA, 0xFE


class _JpegReader(PillowReader[JpegImageFile]):
    def __init__(self, opened: Opened[JpegImageFile], data: bytes, request: Request) -> None:
        super().__init__(opened)
        self._data, self._decoder = data, request.jpeg_decoder
        if request.fast_scale is not None:
            self._reduce(request.fast_scale, on_its_side=request.upright and self.orientation >= 5)

    def _reduce(self, scale: Size, *, on_its_side: bool) -> None:
        self._image.draft(None, scale if on_its_side else scale[::-1])
        reduced = self._image.size[::-1]
        self.reduced = None if reduced == self.size else reduced

    def _samples(self) -> Samples:
        if self._decoder is not None and self.reduced is None and self._image.mode in ("L", "RGB"):
            with decoder_errors():
                values = self._decoder(self._data, self.bands)
            if values is not None:
                return Samples(values)
        without_end = take_end_away(self._data, self._image)
        samples = super()._samples()
        with decoder_errors():
            check_pixels(self._data, samples.values, without_end=without_end)
        return samples


class _Jpeg(PillowCodec[JpegImageFile], WritableCodec):
    def open(self, data: bytes, request: Request) -> Reader:
        open_image = self.opener(data, request.max_pixels)
        image = open_image()
        check_scans(data, image)
        check_length(data, image)
        return _JpegReader(Opened(image, open_image), data, request)

    def encode(self, pixels: Array, *, text: Mapping[str, str]) -> bytes:
        """Writes colours `[H, W, 3]` of at most `MAX_SIDE` pixels a side; text becomes the comment."""
        comment = "\n".join(f"{key}={value}" for key, value in text.items())
        file = BytesIO()
        Pillow.fromarray(pixels).save(file, "JPEG", quality=QUALITY, comment=comment.encode("latin-1"))
        return file.getvalue()

    def read_text(self, head: bytes) -> dict[str, str]:
        try:
            return _comment(head) if head.startswith(_BEGIN) else {}
        except (ValueError, IndexError, struct.error):
            return {}

    def is_whole(self, fetch: Fetch, size: int) -> bool:
        return fetch(max(0, size - len(_END)), size) == _END

    def decode(self, data: bytes) -> Array:
        try:
            with decoder_errors():
                return np.asarray(JpegImageFile(BytesIO(data)))
        except ImageError as error:
            raise ValueError(error.reason) from None


def _comment(data: bytes) -> dict[str, str]:
    at = len(_BEGIN)
    while (kind := data[at + 1]) != _START_OF_SCAN:
        (length,) = struct.unpack_from(">H", data, at + 2)
        if kind == _COMMENT:
            lines = data[at + 4 : at + 2 + length].decode("latin-1").split("\n")
            return dict(line.split("=", 1) for line in lines)
        at += 2 + length
    return {}


def _begins(head: bytes) -> bool:
    # With F7 next it is JPEG-LS.
    return head.startswith(b"\xff\xd8\xff") and not head.startswith(b"\xff\xd8\xff\xf7")


JPEG: Final = _Jpeg("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif"), JpegImageFile, _begins)
