"""A seeded sample of N images over all inputs, for trying first."""

import hashlib
import heapq
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from maskbeam.pipeline.inputs.containers.kinds import Kind
from maskbeam.pipeline.inputs.containers.tfrecord import ShardRecord
from maskbeam.pipeline.inputs.find_inputs import Input, Listing
from maskbeam.pipeline.inputs.listing import chunks_of
from maskbeam.pipeline.inputs.read_shard import read_shard
from maskbeam.pipeline.options import ReadOptions
from maskbeam.pipeline.storage import LOST, SourceChanged
from maskbeam.transforms.elements import Chunk

_PART_BYTES = 1 << 20
_MAX_PARTS = 1 << 20
# Enough to be spread over the input, few enough to be read in seconds.
_WANTED_PARTS = 64


class _Draw(NamedTuple):
    """An image that may be chosen: the smallest numbers win. `offset` is that of a record, -1 for a file."""

    number: int
    uri: str
    offset: int
    found: Input


def sample(options: ReadOptions) -> Iterator[Chunk]:
    """Chunks that hold a sample of `options.limit` images, drawn with `options.seed`.

    Images are drawn by a keyed hash of their ids or places, so the sample does not depend on the order of listing.
    Of shards only as many parts are read as the sample needs, at least 64 of 1 MB and more (a compressed shard is
    one): small input is sampled evenly, large input in clusters. Damaged records are not drawn.
    """
    limit = options.limit or 0
    shards: list[Input] = []
    listing = Listing(options.patterns, options)
    files = heapq.nsmallest(limit, _draw_files(listing, options.seed, shards))
    drawn = heapq.nsmallest(limit, [*files, *_draw_records(shards, limit, options.seed)])
    yield from chunks_of(draw.found for draw in drawn if draw.offset < 0)
    offsets: dict[str, list[_Draw]] = defaultdict(list)
    for draw in drawn:
        if draw.offset >= 0:
            offsets[draw.uri].append(draw)
    for chosen in offsets.values():
        kind, shard = chosen[0].found[:2]
        end = None if kind is Kind.GZIP_SHARD else shard.size
        yield Chunk(shard=shard, end=end, offsets=frozenset(draw.offset for draw in chosen))
    yield Chunk(listed=listing.listed)


def _draw_files(listing: Listing, seed: int, shards: list[Input]) -> Iterator[_Draw]:
    for found in listing:
        entry = found.entry
        if found.counts_as is Kind.IMAGE:
            own = entry.image_id if found.offset is None else found.record_id or f"{entry.image_id}/{found.offset}"
            yield _Draw(_number(seed, own), entry.uri, -1, found)
        else:
            shards.append(found)


def _draw_records(shards: list[Input], limit: int, seed: int) -> Iterator[_Draw]:
    count = 0
    for visited, (_, _, found, start, end) in enumerate(sorted(_parts(shards, seed))):
        if count >= limit and visited >= _WANTED_PARTS:
            return
        with suppress(*LOST, SourceChanged):  # which fails the images of a whole run, but chooses none here
            for record in read_shard(found.entry, start=start, end=end):
                if isinstance(record, ShardRecord):
                    number = _number(seed, f"{found.entry.image_id}/{record.offset}")
                    yield _Draw(number, found.entry.uri, record.offset, found)
                    count += 1


def _parts(shards: list[Input], seed: int) -> Iterator[tuple[int, str, Input, int, int | None]]:
    total = sum(found.entry.size for found in shards)
    step = max(_PART_BYTES, total // _MAX_PARTS)
    for found in shards:
        shard = found.entry
        if found.kind is Kind.GZIP_SHARD:
            yield _number(seed, shard.image_id), shard.uri, found, 0, None
            continue
        for start in range(0, shard.size, step):
            number = _number(seed, f"{shard.image_id}#{start}")
            yield number, shard.uri, found, start, min(start + step, shard.size)


def _number(seed: int, name: str) -> int:
    key = seed.to_bytes(16, "little", signed=True)
    return int.from_bytes(hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8, key=key).digest())
