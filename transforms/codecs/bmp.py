"""BMP."""

from typing import Final

from PIL.BmpImagePlugin import BmpImageFile

from maskbeam.transforms.codecs.pillow_codec import PillowCodec
from maskbeam.transforms.codecs.signatures import looks_like_another

_HEADER_SIZES = (12, 40, 52, 56, 64, 108, 124)


def _begins(head: bytes) -> bool:
    # Texts, too, begin with these two letters.
    is_bmp = head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in _HEADER_SIZES
    return is_bmp and not looks_like_another(head)


BMP: Final = PillowCodec("BMP", (".bmp", ".dib"), BmpImageFile, _begins)
