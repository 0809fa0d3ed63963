"""Whether a JPEG holds all the pixels that its header promises.

libjpeg makes up what is missing, in the last colour, and Pillow, OpenCV and TensorFlow say nothing. Nothing in a file
tells how long a scan should be, so a decoder has to show it. Of arithmetic coding nothing can be said: its encoders
leave out bytes at the end, which decoders make up by rule.
"""

from io import BytesIO

import numpy as np
from PIL.JpegImagePlugin import JpegImageFile

from transforms.elements import Array
from transforms.errors import ImageError
from transforms.jpeg_scans import SCAN, has_one_scan, markers

_END = b"\xff\xd9"
# Decoders fetch up to eight bytes ahead. These are no code, so that at most two blocks of 8 x 8 are made of them.
_AHEAD = b"\xff\0" * 8
# Bytes that are read as any pixels, also where the decoder waits for one of the eight places to begin again.
_STRAY = bytes(range(1, 64))
_FILLING = _STRAY + b"".join(bytes([0xFF, 0xD0 + i]) + _STRAY for i in range(8))
# How frames of arithmetic coding begin (ITU-T T.81, table B.1).
_ARITHMETIC = (b"\xff\xc9", b"\xff\xca", b"\xff\xcd", b"\xff\xce")
_EIGHTH = (1, 1)  # what Pillow is asked for, to decode at an eighth of the size
_PIXELS = 8


def check_length(data: bytes, image: JpegImageFile) -> None:
    """Refuses a file that is much too short for its header, before anything is decoded.

    A block of 8 x 8 pixels takes a Huffman code, and a code a bit; arithmetic coding may take less.

    Raises:
        ImageError: UNREADABLE.
    """
    width, height = image.size
    if 8 * len(data) < (width // 8) * (height // 8) and not _is_arithmetic(data, image):
        reason = f"its header promises {width} x {height} pixels, more than its {len(data)} bytes can hold"
        raise ImageError("UNREADABLE", reason)


def take_end_away(data: bytes, image: JpegImageFile) -> bool:
    """Lets Pillow fail, in place of making up pixels, when it decodes an image that was just opened from `data`.

    Returns:
        Whether that could be done: an image of several scans is decoded only when its end was seen.
    """
    if image.fp is None or _is_arithmetic(data, image) or not has_one_scan(data, image):
        return False
    begin = image.fp.tell()
    end = data.find(_END, begin)
    if end >= 0:
        image.fp.seek(end)
        image.fp.write(_AHEAD)
        image.fp.truncate()
        image.fp.seek(begin)
    return True


def check_pixels(data: bytes, pixels: Array) -> None:
    """Makes sure that all of what a decoder gave for a JPEG is in it.

    Args:
        data: The file's bytes, which a decoder has read.
        pixels: `[H, W, C]` uint8, at any of the decoder's scales. Only where the last ones are of one colour, or
            where each colour has a scan of its own, the file is decoded again, at an eighth of its size.

    Raises:
        ImageError: UNREADABLE.
    """
    is_flat = bool((pixels[-1, -_PIXELS:] == pixels[-1, -1]).all())
    if (is_flat or data.count(SCAN) > 1) and not _holds_all(data, is_flat=is_flat):
        raise ImageError(
            "UNREADABLE", "its header promises more pixels than its data holds, and the rest would be made up"
        )


def _holds_all(data: bytes, *, is_flat: bool) -> bool:
    image = _at_an_eighth(data)
    is_plain = image.info.get("progressive") or has_one_scan(data, image)
    if (is_plain and not is_flat) or _is_arithmetic(data, image):
        return True
    if take_end_away(data, image):
        return _loads(image)
    # What follows a scan that is whole is passed over.
    return np.array_equal(np.asarray(image), np.asarray(_at_an_eighth(_filled(data))))


def _is_arithmetic(data: bytes, image: JpegImageFile) -> bool:
    head = data[: image.fp.tell() if image.fp else 0]
    return any(frame in head for frame in _ARITHMETIC)


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
