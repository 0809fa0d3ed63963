"""TIFFs made tag by tag, for what no library writes: 2 x 2 grey pixels, and another image below them."""

import struct

# Width, height, bits, where the pixels are, samples, rows, bytes.
_SMALL = {256: 2, 257: 2, 258: 8, 273: 4, 277: 1, 278: 2, 279: 4}
_SUB_IFDS = 330


def tiff(first: dict[int, int], below: dict[int, int] | None = None, *, order: str = "<", big: bool = False) -> bytes:
    """A TIFF whose first directory has the tags `first`; with `below` it points to another one with SubIFDs.

    Args:
        first: Values by tag; those of a small image are filled in.
        below: Likewise.
        order: Byte order, as `struct` names it.
        big: Whether it is a BigTIFF.
    """
    mark = b"II" if order == "<" else b"MM"
    head = mark + (struct.pack(f"{order}HHHQ", 43, 8, 0, 16) if big else struct.pack(f"{order}HI", 42, 8))
    tags = {**_SMALL, **first}
    if below is None:
        return head + _directory(tags, order, big)
    end = len(head) + len(_directory({**tags, _SUB_IFDS: 0}, order, big))
    return head + _directory({**tags, _SUB_IFDS: end}, order, big) + _directory({**_SMALL, **below}, order, big)


def _directory(tags: dict[int, int], order: str, big: bool) -> bytes:
    count, entry, following = ("Q", "HHQQ", "Q") if big else ("H", "HHII", "I")
    kind = 16 if big else 4
    entries = b"".join(struct.pack(order + entry, tag, kind, 1, tags[tag]) for tag in sorted(tags))
    return struct.pack(order + count, len(tags)) + entries + struct.pack(order + following, 0)
