"""Records of a shard in storage, compressed or not, whichever part of it is asked for."""

from collections.abc import Generator, Iterator
from functools import partial
from itertools import chain, dropwhile, islice, takewhile

from maskbeam.pipeline.inputs.containers.gunzip import Gunzip
from maskbeam.pipeline.inputs.containers.kinds import is_gzip_shard
from maskbeam.pipeline.inputs.containers.tfrecord import Damage, Readable, ShardRecord, read_records
from maskbeam.pipeline.inputs.misread import misread_shard
from maskbeam.pipeline.storage import is_gcs, open_input
from maskbeam.transforms.codecs.codec import HEAD_BYTES
from maskbeam.transforms.elements import Chunk, Entry

# A byte of a range may be altered on its way from remote storage: what looks damaged is fetched again before it is
# called so. Of a shard that really is damaged in many places only the first few are.
_REREADS = 3
_MISREAD_BYTES = 1 << 10


def read_chunk_records(chunk: Chunk) -> Iterator[ShardRecord | Damage]:
    """The records of a chunk of a shard, and the damaged places among them, in order; errors as in `read_shard`."""
    if chunk.shard is None:
        return
    if chunk.offsets is None:
        yield from read_shard(chunk.shard, start=chunk.start, end=chunk.end)
    elif chunk.end is None:
        last = max(chunk.offsets, default=-1)
        items = takewhile(lambda item: item.offset <= last, read_shard(chunk.shard, end=None))
        yield from (item for item in items if item.offset in chunk.offsets)
    else:
        for offset in sorted(chunk.offsets):
            yield from islice(read_shard(chunk.shard, start=offset, end=offset + 1, aligned=True), 1)


def read_shard(
    shard: Entry, *, start: int = 0, end: int | None, aligned: bool = False
) -> Iterator[ShardRecord | Damage]:
    """The records that start in `[start, end)` and the damaged places that belong to them, as in `read_records`.

    Args:
        shard: The shard; its version, if it has one, is pinned.
        start: Byte offset in a plain shard.
        end: Byte offset in a plain shard; None: all of a shard, compressed or not.
        aligned: `start` is known to lie where a record begins.

    Raises:
        NotFound: The shard is gone.
        SourceChanged: The shard is another one now.
    """
    for item in _reread(shard, start, end, aligned):
        reason = misread_shard(_head_of(shard)) if isinstance(item, Damage) and item.offset == 0 else ""
        yield Damage(0, reason) if reason else item


def _reread(shard: Entry, start: int, end: int | None, aligned: bool) -> Iterator[ShardRecord | Damage]:
    items = _read(shard, start, end, aligned)
    rereads = _REREADS if is_gcs(shard.uri) else 0
    if rereads and start > 0 and not aligned:
        items = _with_start_checked(items, shard, start, end)
    for _ in range(rereads):
        flaw = yield from _up_to_damage(items)
        if flaw is None:
            return
        items = dropwhile(partial(_before, flaw.offset), _read(shard, flaw.offset, end, True))
        yield from islice(items, 1)
    yield from items


def _head_of(shard: Entry) -> bytes:
    with open_input(shard.uri).open(shard.uri, end=_MISREAD_BYTES, version=shard.version or None) as file:
        return file.read()


def _up_to_damage(items: Iterator[ShardRecord | Damage]) -> Generator[ShardRecord | Damage, None, Damage | None]:
    for item in items:
        if isinstance(item, Damage):
            return item
        yield item
    return None


def _before(offset: int, item: ShardRecord | Damage) -> bool:
    return item.offset < offset


def _with_start_checked(
    items: Iterator[ShardRecord | Damage], shard: Entry, start: int, end: int | None
) -> Iterator[ShardRecord | Damage]:
    # What lies before a range's first record belongs to another reader, so a record that an altered byte hid
    # there would be nobody's: that part is fetched twice.
    first = next(items, None)
    stop = first.offset if first else None
    hidden = next(_read(shard, start, stop or end, False, stop=stop), None) if stop != start else None
    if hidden:
        return _read(shard, hidden.offset, end, True)
    return chain([first] if first else [], items)


def _read(
    shard: Entry, start: int, end: int | None, aligned: bool, *, stop: int | None = None
) -> Iterator[ShardRecord | Damage]:
    storage, version = open_input(shard.uri), shard.version or None
    if end is None:
        with storage.open(shard.uri, version=version) as file:
            yield from _whole(file)
    else:
        with storage.open(shard.uri, start=start, end=stop, version=version) as file:
            yield from read_records(file, start=start, end=end, aligned=aligned)


class _Rejoined:
    """A stream whose beginning was read already."""

    def __init__(self, head: bytes, rest: Readable) -> None:
        self._head = head
        self._rest = rest

    def read(self, size: int, /) -> bytes:
        data, self._head = self._head[:size], self._head[size:]
        return data or self._rest.read(size)


def _whole(file: Readable) -> Iterator[ShardRecord | Damage]:
    head = file.read(HEAD_BYTES)
    stream = _Rejoined(head, file)
    return _decompressed(stream) if is_gzip_shard(head) else read_records(stream)


def _decompressed(file: Readable) -> Iterator[ShardRecord | Damage]:
    stream = Gunzip(file)
    end, reported = 0, False
    for item in read_records(stream):
        yield item
        reported = reported or isinstance(item, Damage)
        end = item.end if isinstance(item, ShardRecord) else end
    # Behind a damaged record the broken stream is the same damage, seen again.
    if stream.damaged and not reported:
        yield Damage(end, "the compressed shard is damaged from here on")
