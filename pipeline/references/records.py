"""References inside the records that images came from: `key:NAME` is the feature that holds an encoded label map."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import ClassVar

from maskbeam.pipeline.inputs.containers.example import parse_example
from maskbeam.pipeline.inputs.containers.kinds import is_gzip_shard
from maskbeam.pipeline.inputs.containers.tfrecord import Damage, ShardRecord
from maskbeam.pipeline.inputs.read_shard import read_chunk_records
from maskbeam.pipeline.output.finished_rows import FinishedImage
from maskbeam.pipeline.references.files import storage_of
from maskbeam.pipeline.references.reader import Located, NoReferenceError, Read, ReferenceReader, Wanted, stat_all
from maskbeam.pipeline.storage import LOST, SourceChanged
from maskbeam.transforms.codecs.codec import HEAD_BYTES
from maskbeam.transforms.comparison.reference import ReferencePixels, decode_reference, unreadable
from maskbeam.transforms.elements import Chunk, Entry
from maskbeam.transforms.errors import ImageError, RunError

PREFIX = "key:"


@dataclass(frozen=True)
class RecordReferences(ReferenceReader):
    """A feature of each image's own record.

    Attributes:
        key: Its name.
        flag: The option that named it, for messages.
    """

    key: str
    flag: str
    by_source: ClassVar[bool] = True

    def versions(self, images: Sequence[FinishedImage]) -> Mapping[str, Located]:
        places = {image.image_id: place for image in images if (place := _place(image.source.where))}
        shards = self._shards({uri for uri, _ in places.values()})
        return {
            image_id: Located(f"{uri}#{offset}", shards[uri].version)
            for image_id, (uri, offset) in places.items()
            if uri in shards
        }

    def read(self, located: Located) -> ReferencePixels:
        ((_, found),) = self.read_all([located])
        if isinstance(found, ImageError):
            raise found
        return found

    def read_all(self, located: Iterable[Located]) -> Iterator[Read]:
        """Those of one shard by one reading of it, if they come one after the other."""
        for (uri, version), group in groupby(located, lambda each: (each.where.rpartition("#")[0], each.version)):
            yield from self._read_shard(uri, version, list(group))

    def _shards(self, uris: set[str]) -> dict[str, Located]:
        return stat_all(storage_of(min(uris), self.flag), sorted(uris)) if uris else {}

    def _read_shard(self, uri: str, version: str, wanted: list[Located]) -> Iterator[Read]:
        left = {int(each.where.rpartition("#")[2]): each for each in wanted}
        try:
            for item in read_chunk_records(_chunk(Entry(uri, 0, version), frozenset(left), self.flag)):
                yield left.pop(item.offset), self._read_record(item)
            error = unreadable("the record is not where it was")
        except LOST:
            error = unreadable("the shard is gone, or may not be read")
        except SourceChanged:
            error = unreadable("the shard was altered since it was looked for; run again when nobody writes to it")
        yield from ((each, error) for each in left.values())

    def _read_record(self, item: ShardRecord | Damage) -> ReferencePixels | ImageError:
        if isinstance(item, Damage):
            return unreadable("the record is damaged")
        try:
            features = parse_example(item.payload, {self.key})
            if self.key not in features:
                return NoReferenceError()
            return decode_reference(features.bytes_of(self.key))
        except ImageError as error:
            return unreadable(error.reason)


def is_key(word: str) -> bool:
    """True of `key:NAME`."""
    return word.startswith(PREFIX)


def record_references(wanted: Wanted) -> RecordReferences:
    """The references that a feature holds; RunError without a name."""
    key = wanted.where.removeprefix(PREFIX)
    if not key:
        raise RunError(
            f"{wanted.flag} {wanted.where}: name the records' feature, as in key:image/segmentation/class/encoded"
        )
    return RecordReferences(key, wanted.flag)


def _place(where: str) -> tuple[str, int] | None:
    shard, mark, offset = where.rpartition("#")
    return (shard, int(offset)) if mark and offset.isascii() and offset.isdigit() else None


def _chunk(shard: Entry, offsets: frozenset[int], flag: str) -> Chunk:
    head = storage_of(shard.uri, flag).read(shard.uri, limit=HEAD_BYTES)
    return Chunk(shard=shard, end=None if is_gzip_shard(head) else max(offsets) + 1, offsets=offsets)
