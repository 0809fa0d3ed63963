"""WebP."""

from typing import Final

from PIL.WebPImagePlugin import WebPImageFile

from maskbeam.transforms.codecs.pillow_codec import PillowCodec
from maskbeam.transforms.codecs.signatures import looks_like_another


def _begins(head: bytes) -> bool:
    return head.startswith(b"RIFF") and head[8:12] == b"WEBP" and not looks_like_another(head)


WEBP: Final = PillowCodec("WebP", (".webp",), WebPImageFile, _begins)
