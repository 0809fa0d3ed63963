"""The scans of a JPEG. Its decoder goes over the whole image for each, so that a small file may take hours.

Counted here, because the headers that Pillow and simplejpeg give do not tell, and neither takes a limit.
"""

from collections.abc import Iterator

from PIL.JpegImagePlugin import JpegImageFile

from maskbeam.transforms.errors import Code, ImageError

# Real progressive files have about ten. Of the largest image that is let in, a hundred take a minute.
MOST_SCANS = 100
SCAN = b"\xff\xda"
_END = 0xD9


def check_scans(data: bytes, image: JpegImageFile) -> None:
    """Refuses a JPEG that takes too long for what it shows.

    Args:
        data: The whole file.
        image: The same, just opened: read up to its first scan and no further.

    Raises:
        ImageError: UNREADABLE.
    """
    if has_one_scan(data, image):
        return
    # Counted quickly first: this may also count what only looks like one, in a thumbnail or behind the end.
    if data.count(SCAN) > MOST_SCANS and (scans := count_scans(data)) > MOST_SCANS:
        raise ImageError(
            Code.UNREADABLE,
            f"the JPEG has {scans:,} scans, over {MOST_SCANS}, where others have about ten: save it anew",
        )


def has_one_scan(data: bytes, image: JpegImageFile) -> bool:
    """True if the first scan has all that there is, as in most files, so that the decoder looks for no other."""
    return not image.info.get("progressive") and _has_all(data, image)


def _has_all(data: bytes, image: JpegImageFile) -> bool:
    """True if the first scan has all of the image's components."""
    end, size = image.fp.tell() if image.fp else 0, 6 + 2 * image.layers
    return data.startswith(SCAN + bytes([0, size, image.layers]), end - size - 2)


def count_scans(data: bytes) -> int:
    """The number of scans between a JPEG's begin and its end, as a decoder meets them."""
    return sum(kind == SCAN[1] for kind, _ in markers(data))


def markers(data: bytes) -> Iterator[tuple[int, int]]:
    """The kind and the place of each marker between a JPEG's begin and its end, both included but the first.

    Those within a scan, which are places to begin again, are left out.
    """
    at = 2
    while (at := data.find(b"\xff", at)) >= 0 and at + 2 <= len(data):
        kind = data[at + 1]
        if kind == 0xFF:
            at += 1
        elif kind <= 1 or 0xD0 <= kind <= 0xD7:
            # A byte of the pixels, or a place to begin again: no segment follows.
            at += 2
        else:
            yield kind, at
            if kind == _END:
                return
            at += 2 + int.from_bytes(data[at + 2 : at + 4])
