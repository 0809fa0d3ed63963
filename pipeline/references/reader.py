"""The reader of references as code sees it: which images have one, in which version, and its pixels."""

import heapq
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

from maskbeam.pipeline.digests import digest
from maskbeam.pipeline.inputs.fetch import MAX_FILE_BYTES
from maskbeam.pipeline.output.finished_rows import FinishedImage
from maskbeam.pipeline.storage import LOST, Listed, SourceChanged, Storage, Unreadable
from maskbeam.transforms.classes.class_table import ClassTable
from maskbeam.transforms.comparison.reference import ReferencePixels, unreadable

_THREADS: Final = 16


class Located(NamedTuple):
    """The reference of an image, not read yet.

    Attributes:
        where: A file, or a place in one, as its reader has it.
        version: Of what is there; another one is another reference.
        size: In bytes; 0: not known.
    """

    where: str
    version: str
    size: int = 0


class Sampled(NamedTuple):
    """Some references, the same whenever they and the seed are.

    Attributes:
        images: Ids of images, which the output may lack, with their references.
        total: The number of references that there are; None where nobody can know.
    """

    images: tuple[tuple[str, Located], ...]
    total: int | None = None


class ReferenceReader(ABC):
    """References of one place. Can be pickled; its methods are thread-safe.

    Attributes:
        table: The classes that the place itself tells; None: it tells none.
        ignored: Values that it leaves out.
    """

    table: ClassTable | None = None
    ignored: tuple[int, ...] = ()

    @abstractmethod
    def versions(self, images: Sequence[FinishedImage]) -> Mapping[str, Located]:
        """The references of many images at once, by id; those without one are left out."""

    @abstractmethod
    def read(self, located: Located) -> ReferencePixels:
        """The pixels of a reference.

        Raises:
            ImageError: REFERENCE_UNREADABLE, or REFERENCE_SIZE where the place itself tells another one.
        """

    def sample(self, rows: Callable[[], Iterable[FinishedImage]], most: int, seed: int) -> Sampled:
        """Some references, by chance; those of images among `rows` unless the place can be listed by itself."""
        chosen = heapq.nsmallest(most, rows(), key=lambda row: drawn(row.image_id, seed))
        return Sampled(tuple(sorted(self.versions(chosen).items())))


def drawn(image_id: str, seed: int) -> str:
    """The number of an image in a draw, as a text: the smallest are drawn."""
    return digest(f"{seed}/{image_id}")


def stat_all(storage: Storage, uris: Iterable[str]) -> dict[str, Located]:
    """The files that exist, by URI: by listings where that is less work, else one by one."""
    wanted = list(dict.fromkeys(uris))
    told = dict(storage.look_up(wanted))
    others = [uri for uri in wanted if uri not in told]
    with ThreadPoolExecutor(_THREADS) as pool:
        told.update(zip(others, pool.map(lambda uri: _stat(storage, uri), others), strict=True))
    return {uri: Located(uri, listed.version, listed.size) for uri, listed in told.items() if listed}


def _stat(storage: Storage, uri: str) -> Listed | None:
    try:
        return storage.stat(uri)
    except Unreadable:
        # There is something: reading it will say so.
        return Listed(uri, 0, "unreadable")


def read_file(storage: Storage, located: Located) -> bytes:
    """The bytes of a reference's file, of the version that was located.

    Raises:
        ImageError: REFERENCE_UNREADABLE.
    """
    if located.size > MAX_FILE_BYTES:
        raise unreadable(f"the file has {located.size >> 20} MiB, over {MAX_FILE_BYTES >> 20}")
    try:
        limit = located.size + 1 if located.size else None
        return storage.read(located.where, version=located.version, limit=limit)
    except LOST:
        raise unreadable("the file is gone, or may not be read") from None
    except SourceChanged:
        raise unreadable("the file was altered since it was looked for; run again when nobody writes to it") from None
