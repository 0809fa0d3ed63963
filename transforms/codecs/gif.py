"""GIF, of whose frames the first is read."""

from typing import Final

from PIL.GifImagePlugin import GifImageFile

from maskbeam.transforms.codecs.pillow_codec import PillowCodec
from maskbeam.transforms.codecs.signatures import looks_like_another


def _begins(head: bytes) -> bool:
    return head.startswith((b"GIF87a", b"GIF89a")) and not looks_like_another(head)


GIF: Final = PillowCodec("GIF", (".gif",), GifImageFile, _begins)
