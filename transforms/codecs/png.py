"""PNG: what libpng would read is read, and what masks and other products are written in."""

import struct
from collections.abc import Mapping
from typing import Final

from PIL.PngImagePlugin import PngImageFile

from maskbeam.transforms.codecs.codec import Fetch, Reader, Request, WritableCodec
from maskbeam.transforms.codecs.pillow_codec import PillowCodec, PillowReader
from maskbeam.transforms.codecs.pillow_samples import Opened
from maskbeam.transforms.codecs.plain_png import GREY, PNG_END, RGB, SIGNATURE, decode_png, encode_png, png_text
from maskbeam.transforms.codecs.png_chunks import bare_png, sound_png
from maskbeam.transforms.codecs.png_rows import load_png
from maskbeam.transforms.elements import Array
from maskbeam.transforms.errors import ImageError


class _Png(PillowCodec[PngImageFile], WritableCodec):
    def open(self, data: bytes, request: Request) -> Reader:
        open_image = self.opener(sound_png(data), request.max_pixels)
        return PillowReader(Opened(open_image(), open_image, load_png))

    def _image(self, data: bytes) -> PngImageFile:
        try:
            return super()._image(data)
        except ImageError:
            # Nonsense in a comment or a colour profile is no damage to the pixels.
            return super()._image(bare_png(data))

    def encode(self, pixels: Array, *, text: Mapping[str, str]) -> bytes:
        return encode_png(pixels, color_type=GREY if pixels.ndim == 2 else RGB, text=text)

    def read_text(self, head: bytes) -> dict[str, str]:
        try:
            return png_text(head)
        except (ValueError, struct.error):
            return {}

    def is_whole(self, fetch: Fetch, size: int) -> bool:
        return fetch(max(0, size - len(PNG_END)), size) == PNG_END

    def decode(self, data: bytes) -> Array:
        return decode_png(data)


def _begins(head: bytes) -> bool:
    return head.startswith(SIGNATURE)


PNG: Final = _Png("PNG", (".png", ".apng"), PngImageFile, _begins)
