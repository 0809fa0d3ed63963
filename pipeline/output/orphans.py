"""Files of an output that no row of its reports claims; what `maskbeam verify` and `maskbeam clean` share."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress

import numpy as np

from maskbeam.pipeline.output.claim import TEXT_KEY, Claim, Record, parse_claim, parse_record
from maskbeam.pipeline.output.look_up import LONG_TEXT
from maskbeam.pipeline.storage import LOST, Listed, NotFound, Storage, is_gcs
from maskbeam.pipeline.storage.local_errors import listing
from maskbeam.pipeline.storage.local_listing import listed as as_listed
from maskbeam.transforms.codecs.codec import TEXT_BYTES
from maskbeam.transforms.codecs.encode import read_text


class Images:
    """The images that reports list: their names and their masks' texts as digests, eight bytes each."""

    def __init__(self, names: Sequence[int], texts: Sequence[int]) -> None:
        order = np.argsort(np.array(names, np.uint64))
        self._names, self._texts = (np.array(digests, np.uint64)[order] for digests in (names, texts))

    def __len__(self) -> int:
        return len(self._names)

    def text(self, name: str) -> int | None:
        """The digest of the text of an image's mask, or None for an image that is not among these."""
        at = int(np.searchsorted(self._names, np.uint64(digest_of(name))))
        return int(self._texts[at]) if at < len(self) and int(self._names[at]) == digest_of(name) else None


def digest_of(text: str) -> int:
    """A digest of eight bytes."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())


def claim_of(storage: Storage, uri: str) -> Claim | None:
    """The claim of a file; None where it has none that can be understood."""
    try:
        return parse_claim(front_text(storage, uri).get(TEXT_KEY))
    except LOST:
        return None


def record_of(storage: Storage, listed: Listed) -> Record | None:
    """The record of a mask, from its metadata where the listing shows them; None where it carries none."""
    shown = (listed.metadata or {}).get(TEXT_KEY)
    try:
        return parse_record(shown or front_text(storage, listed.uri, version=listed.version).get(TEXT_KEY))
    except LOST:
        return None


def front_text(storage: Storage, uri: str, *, version: str | None = None) -> dict[str, str]:
    """The text of a file, whatever its size; raises as `Storage.read`."""
    head = storage.read(uri, version=version, limit=TEXT_BYTES)
    text = read_text(head)
    # Tables of thousands of classes make records that are longer.
    is_short = bool(text) or len(head) < TEXT_BYTES
    return text if is_short else read_text(storage.read(uri, version=version, limit=LONG_TEXT))


def plain_files(storage: Storage, root: str, folder: str) -> Iterator[Listed]:
    """All files below a folder of an output; of local ones none that is a link or lies behind one."""
    if is_gcs(root):
        yield from storage.list(f"{root}/{folder}/")
        return
    if not is_behind_link(root, f"{folder}/x"):
        with suppress(NotFound), listing(f"{root}/{folder}"):
            for at, folders, names in os.walk(f"{root}/{folder}", onerror=_raise):
                folders.sort()
                for entry in (os.path.join(at, name) for name in sorted(names)):
                    if not os.path.islink(entry) and os.path.isfile(entry):
                        yield as_listed(entry, os.lstat(entry))


def is_behind_link(root: str, path: str) -> bool:
    """True if a file of a local output is a link, or is reached through one below the output's folder."""
    parts = path.split("/")
    return not is_gcs(root) and any(os.path.islink("/".join([root, *parts[:n]])) for n in range(1, len(parts) + 1))


def _raise(error: OSError) -> None:
    raise error
