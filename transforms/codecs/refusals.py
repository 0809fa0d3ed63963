"""Reasons to refuse bytes that no codec recognises, and what to do with them."""

from typing import Final

from maskbeam.transforms.codecs.signatures import CAMERA_RAW, FETCH_IT, LFS_POINTER, foreign_format
from maskbeam.transforms.errors import Code, ImageError

OF_CAMERA_RAW: Final = (
    "it is a camera raw file, of which a thumbnail would be read; develop it to a TIFF, PNG or JPEG"
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


def refusal(head: bytes, *, read: str, one_of: str) -> ImageError:
    """The error of a file that is of no format that is read.

    Args:
        head: Its first `HEAD_BYTES`, or all of it.
        read: The formats that are read, as in `A, B and C`.
        one_of: The same as in `A, B or C`.
    """
    name = foreign_format(head)
    if name == CAMERA_RAW:
        return ImageError(Code.UNSUPPORTED_FORMAT, OF_CAMERA_RAW)
    if name and name != LFS_POINTER:
        return ImageError(Code.UNSUPPORTED_FORMAT, f"its format is {name}; {read} are read")
    unknown = f"its bytes are not those of a {one_of} file" if head else "it holds no bytes at all"
    mistaken = next((words for begins, words in _MISTAKEN.items() if head.startswith(begins)), unknown)
    return ImageError(Code.UNREADABLE, FETCH_IT if name else mistaken)
