"""A check that a JPEG holds all the pixels that its header promises.

libjpeg makes up what is missing, in the last colour, and Pillow, OpenCV and TensorFlow say nothing. Nothing in a file
tells how long a scan should be, so a decoder has to show it. simplejpeg does, and decodes where it is installed; this
is for all else: what it cannot read, other colours, and reduced sizes. Of arithmetic coding nothing can be said: its
encoders leave out bytes at the end, which decoders make up by rule.
"""

import struct
from io import BytesIO
from typing import NamedTuple

import numpy as np
from PIL.JpegImagePlugin import JpegImageFile

from maskbeam.transforms.codecs.jpeg_scans import SCAN, markers
from maskbeam.transforms.elements import Array
from maskbeam.transforms.errors import Code, ImageError

_END = b"\xff\xd9"
# Decoders fetch up to eight bytes ahead. These are no code, so that at most two blocks of 8 x 8 are made of them.
_AHEAD = b"\xff\0" * 8
# Bytes that are read as any pixels, also where the decoder waits for one of the eight places to begin again.
_STRAY = bytes(range(1, 64))
_FILLING = _STRAY + b"".join(bytes([0xFF, 0xD0 + i]) + _STRAY for i in range(8))
# Frames by their markers (ITU-T T.81, table B.1).
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE, _ARITHMETIC = (0xC2, 0xC6, 0xCA, 0xCE), range(0xC9, 0xD0)
_EIGHTH = (1, 1)  # what Pillow is asked for, to decode at an eighth of the size
_PIXELS = 8


class _Begin(NamedTuple):
    """A file up to its first scan: the frame's marker, size and components, those of the scan and where it begins."""

    frame: int = 0
    height: int = 0
    width: int = 0
    components: int = 0
    in_scan: int = 0
    scan: int = 0

    @property
    def is_plain(self) -> bool:
        """True if all is in one scan, as in most files, and decoded as it comes."""
        return self.frame not in (*_PROGRESSIVE, *_ARITHMETIC) and self.in_scan == self.components > 0


def check_length(data: bytes, image: JpegImageFile) -> None:
    """Refuses a file that is much too short for its header, before anything is decoded.

    A block of 8 x 8 pixels takes a Huffman code, and a code a bit; arithmetic coding may take less.

    Raises:
        ImageError: UNREADABLE.
    """
    width, height = image.size
    if 8 * len(data) < (width // 8) * (height // 8) and _begin_of(data).frame not in _ARITHMETIC:
        reason = f"its header promises {width} x {height} pixels, more than its {len(data)} bytes can hold"
        raise ImageError(Code.UNREADABLE, reason)


def check_frame(data: bytes, height: int, width: int) -> None:
    """Refuses a JPEG that is smaller than what it is a part of says, in pixels.

    Raises:
        ImageError: UNREADABLE.
    """
    begin = _begin_of(data)
    if begin.height < height or begin.width < width:
        raise ImageError(Code.UNREADABLE, f"a part of it should have {width} x {height} pixels, and has fewer")


def take_end_away(data: bytes, image: JpegImageFile) -> bool:
    """Lets Pillow fail, in place of making up pixels, when it decodes an image that was just opened from `data`.

    Returns:
        Whether that could be done: an image of several scans is decoded only when its end was seen.
    """
    begin = _begin_of(data)
    if begin.is_plain:
        _end_at(data.rfind(_END, begin.scan), image)
    return begin.is_plain


def check_pixels(data: bytes, pixels: Array, *, without_end: bool = False) -> None:
    """Makes sure that all of what a decoder gave for a JPEG is in it.

    Args:
        data: The file's bytes, which a decoder has read.
        pixels: `[H, W, C]` uint8, at any of the decoder's scales. Only where the last ones are of one colour, or
            where each colour has a scan of its own, the file is decoded again, at an eighth of its size.
        without_end: Whether its last end was taken away: then only another picture behind it leaves a doubt.

    Raises:
        ImageError: UNREADABLE.
    """
    last = pixels[-1, -_PIXELS:].tobytes()
    if last == last[-pixels.shape[2] :] * (len(last) // pixels.shape[2]):
        is_doubtful = not without_end or data.find(_END) < data.rfind(_END)
    elif without_end:
        is_doubtful = False
    else:
        begin = _begin_of(data)
        is_doubtful = not begin.is_plain and begin.frame not in _PROGRESSIVE
    if is_doubtful and not _holds_all(data):
        raise ImageError(
            Code.UNREADABLE, "its header promises more pixels than its data holds, and the rest would be made up"
        )


def _holds_all(data: bytes) -> bool:
    begin = _begin_of(data)
    # Two components, say, as parts of TIFFs may have, have no meaning for Pillow.
    if begin.frame in _ARITHMETIC or begin.components not in (1, 3, 4):
        return True
    image = _at_an_eighth(data)
    if begin.is_plain:
        _end_at(data.find(_END, begin.scan), image)
        return _loads(image)
    # What follows a scan that is whole is passed over.
    return np.array_equal(np.asarray(image), np.asarray(_at_an_eighth(_filled(data))))


def _begin_of(data: bytes) -> _Begin:
    begin = _Begin()
    for kind, at in markers(data):
        body = data[at + 4 : at + 10].ljust(6, b"\0")
        if kind in _FRAMES:
            _, height, width, components = struct.unpack(">BHHB", body)
            begin = _Begin(kind, height, width, components)
        elif kind == SCAN[1]:
            return begin._replace(in_scan=body[0], scan=at)
    return begin


def _end_at(end: int, image: JpegImageFile) -> None:
    """Lets an opened image's data go on at byte `end`, a negative one for none, where it ended."""
    if image.fp is not None and end >= 0:
        at = image.fp.tell()
        image.fp.seek(end)
        image.fp.write(_AHEAD)
        image.fp.truncate()
        image.fp.seek(at)


def _at_an_eighth(data: bytes) -> JpegImageFile:
    image = JpegImageFile(BytesIO(data))
    image.draft(None, _EIGHTH)
    return image


def _loads(image: JpegImageFile) -> bool:
    try:
        image.load()
    except OSError:
        return False
    return True


def _filled(data: bytes) -> bytes:
    """The same file with more bytes in each scan than it has."""
    parts, last, in_scan = [], 0, False
    for kind, at in markers(data):
        if in_scan:
            parts += [data[last:at], _FILLING]
            last = at
        in_scan = kind == SCAN[1]
    return b"".join([*parts, data[last:]])
