"""The reader of references as code sees it: which images have one, in which version, and its pixels."""

import heapq
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ClassVar, Final, NamedTuple, TypeVar

from maskbeam.pipeline.digests import digest
from maskbeam.pipeline.inputs.fetch import MAX_FILE_BYTES
from maskbeam.pipeline.output.finished_rows import FinishedImage
from maskbeam.pipeline.storage import LOST, Listed, SourceChanged, Storage, Unreadable
from maskbeam.transforms.classes.class_table import ClassTable
from maskbeam.transforms.comparison.reference import ReferencePixels, unreadable
from maskbeam.transforms.errors import Code, ImageError

_THREADS: Final = 16
T = TypeVar("T")


@dataclass(frozen=True)
class Wanted:
    """The words of a person for references.

    Attributes:
        where: The place.
        flag: The option that named it: `--truth` or `--old`; options about it begin with it.
        classes: The file, or the name, of its class table; None: the place's own, or else ids are the model's.
        values: What its numbers mean; None: told by content.
        upright: Whether it is drawn on upright photos, whatever its size says.
        seed: Of the draw of those that are looked at.
        inputs: The manifests of the run, for a place that is a column of these.
    """

    where: str
    flag: str = "--truth"
    classes: str | None = None
    values: str | None = None
    upright: bool = False
    seed: int = 0
    inputs: tuple[str, ...] = ()


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
        by_source: Whether references are found by where images lie, which anonymous outputs do not tell.
    """

    by_source: ClassVar[bool] = False

    @property
    def ignored(self) -> tuple[int, ...]:
        """Values that it leaves out."""
        return ()

    def table(self, given: ClassTable | None, ours: ClassTable) -> ClassTable | None:
        """The classes of its references.

        Args:
            given: Those that a person named; None: none.
            ours: The model's.

        Returns:
            The classes; None where nobody tells them, and ids are the model's.
        """
        return given

    @abstractmethod
    def versions(self, images: Sequence[FinishedImage]) -> Mapping[str, Located]:
        """The references of many images at once, by id; those without one are left out."""

    @abstractmethod
    def read(self, located: Located) -> ReferencePixels:
        """The pixels of a reference.

        Raises:
            ImageError: REFERENCE_UNREADABLE.
            NoReferenceError: The image has none, which could not be told before.
        """

    def read_all(self, located: Iterable[Located]) -> "Iterator[Read]":
        """The pixels of many references, or why they cannot be had; in one go where they lie in one file."""
        for each in located:
            try:
                yield each, self.read(each)
            except ImageError as error:
                yield each, error

    def sample(self, rows: Callable[[], Iterable[FinishedImage]], most: int, seed: int) -> Sampled:
        """Some references, by chance; those of images among `rows` unless the place can be listed by itself."""
        chosen, _ = drawn_of(rows(), most, seed, lambda row: row.image_id)
        return Sampled(tuple(sorted(self.versions(chosen).items())))


Read = tuple[Located, ReferencePixels | ImageError]


class NoReferenceError(ImageError):
    """An image that turns out to have no reference: counted as one without, and not as failed."""

    def __init__(self, code: Code = Code.REFERENCE_UNREADABLE, reason: str = "it has no reference") -> None:
        super().__init__(code, reason)


def drawn_of(images: Iterable[T], most: int, seed: int, id_of: Callable[[T], str]) -> tuple[list[T], int]:
    """Draws some of many, the same whatever their order, and counts them all."""
    total = 0

    def counted() -> Iterator[tuple[str, str, T]]:
        nonlocal total
        for image in images:
            total += 1
            image_id = id_of(image)
            yield digest(f"{seed}/{image_id}"), image_id, image

    chosen = heapq.nsmallest(most, counted(), key=lambda each: each[:2])
    return [image for _, _, image in chosen], total


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
