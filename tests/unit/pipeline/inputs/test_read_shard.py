"""Shards in storage: parts, compression, and bytes that were altered on their way."""

import gzip
import io
import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import pytest

from maskbeam.pipeline.inputs import read_shard as shards
from maskbeam.pipeline.inputs.containers.tfrecord import Damage, ShardRecord, frame
from maskbeam.pipeline.inputs.read_shard import read_chunk_records, read_shard
from maskbeam.pipeline.storage import NotFound, SourceChanged, open_storage
from maskbeam.transforms.elements import Chunk, Entry
from tests.support.shard_files import write_shard

PAYLOADS = [bytes([i]) * (50 + i) for i in range(20)]


def entry_of(path: Path) -> Entry:
    listed = open_storage(str(path)).stat(str(path))
    assert listed
    return Entry(listed.uri, listed.size, listed.version)


@pytest.fixture
def shard(tmp_path: Path) -> Entry:
    return entry_of(write_shard(tmp_path / "s", PAYLOADS))


@pytest.fixture
def packed(tmp_path: Path) -> Entry:
    return entry_of(write_shard(tmp_path / "z", PAYLOADS, compress=True))


def test_all_parts_of_a_shard_are_all_its_records(shard: Entry) -> None:
    bounds = [0, 1, 400, 401, shard.size]
    found = [item for start, end in pairwise(bounds) for item in read_shard(shard, start=start, end=end)]
    assert [item.payload for item in found if isinstance(item, ShardRecord)] == PAYLOADS
    assert found == list(read_shard(shard, end=shard.size))


def test_a_compressed_shard_has_the_same_records_and_offsets(shard: Entry, packed: Entry) -> None:
    assert list(read_shard(packed, end=None)) == list(read_shard(shard, end=shard.size))


def test_offsets_choose_records(shard: Entry, packed: Entry) -> None:
    everything = list(read_shard(shard, end=shard.size))
    chosen = [everything[0], everything[7], everything[19]]
    offsets = frozenset(item.offset for item in chosen)
    assert list(read_chunk_records(Chunk(shard=shard, end=shard.size, offsets=offsets))) == chosen
    assert list(read_chunk_records(Chunk(shard=packed, offsets=offsets))) == chosen
    assert list(read_chunk_records(Chunk(shard=packed, offsets=frozenset()))) == []


def damaged(path: Path, data: bytes) -> list[bytes | int]:
    path.write_bytes(data)
    items = read_shard(entry_of(path), end=None)
    return [item.payload if isinstance(item, ShardRecord) else item.offset for item in items]


def test_a_damaged_gzip_shard_keeps_all_before_and_fails_once(tmp_path: Path) -> None:
    frames = [frame(payload) for payload in PAYLOADS]
    whole = b"".join(frames)
    packed = gzip.compress(whole)
    path = tmp_path / "z"
    assert damaged(path, packed[:-3]) == [*PAYLOADS, len(whole)]
    assert damaged(path, packed[:-5] + b"\xff" + packed[-4:]) == [*PAYLOADS, len(whole)]
    assert damaged(path, packed + b"garbage") == [*PAYLOADS, len(whole)]
    assert damaged(path, packed[: len(packed) // 2])[-1:] != PAYLOADS[-1:]
    # The same damage inside a record is one failure, not one more for the end of the stream.
    cut = len(b"".join(frames[:5])) + 20
    assert damaged(path, gzip.compress(whole[:cut])[:-4]) == [*PAYLOADS[:5], len(b"".join(frames[:5]))]
    assert damaged(path, gzip.compress(b"")) == []


def test_a_shard_that_is_gone_or_altered(shard: Entry) -> None:
    path = Path(shard.uri)
    path.write_bytes(path.read_bytes() + frame(b"more"))
    with pytest.raises(SourceChanged):
        list(read_shard(shard, end=shard.size))
    path.unlink()
    with pytest.raises(NotFound):
        list(read_shard(shard, end=shard.size))


class Altering:
    """A remote storage that alters one byte of what it gives, as often as told."""

    def __init__(self, data: bytes, flaws: list[int]) -> None:
        self.data = data
        self.flaws = flaws
        self.opened = 0

    def open(self, uri: str, *, start: int = 0, end: int | None = None, version: str | None = None) -> BinaryIO:
        self.opened += 1
        data = bytearray(self.data)
        if self.flaws:
            data[self.flaws.pop(0)] ^= 1
        return io.BytesIO(bytes(data[start:end]))


@pytest.fixture
def remote(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes, list[int]], Altering]:
    def make(data: bytes, flaws: list[int]) -> Altering:
        storage = Altering(data, flaws)
        monkeypatch.setattr(shards, "open_input", lambda uri: storage)
        return storage

    return make


def test_a_byte_altered_on_its_way_costs_nothing(remote: Callable[[bytes, list[int]], Altering]) -> None:
    data = b"".join(map(frame, PAYLOADS))
    dice = random.Random(5)
    for _ in range(200):
        middle = dice.randrange(1, len(data))
        remote(data, [dice.randrange(len(data)) for _ in range(dice.randrange(2))])
        entry = Entry("gs://b/s", len(data), "1")
        found = list(read_shard(entry, start=0, end=middle))
        remote(data, [dice.randrange(middle, len(data)) for _ in range(dice.randrange(2))])
        found += list(read_shard(entry, start=middle, end=len(data)))
        assert [item.payload for item in found if isinstance(item, ShardRecord)] == PAYLOADS
        assert len(found) == len(PAYLOADS)


def test_a_compressed_shard_is_fetched_again_too(remote: Callable[[bytes, list[int]], Altering]) -> None:
    data = gzip.compress(b"".join(map(frame, PAYLOADS)))
    for flaw in range(20, len(data), 5):
        remote(data, [flaw])
        found = list(read_shard(Entry("gs://b/s", len(data), "1"), end=None))
        assert [item.payload for item in found if isinstance(item, ShardRecord)] == PAYLOADS


def test_real_damage_is_reported_and_not_fetched_for_ever(remote: Callable[[bytes, list[int]], Altering]) -> None:
    data = bytearray(b"".join(map(frame, PAYLOADS)))
    clean = list(read_shard(*_plain(remote, bytes(data))[:1], end=len(data)))
    broken = [clean[i] for i in (0, 3, 4, 8, 12, 19)]
    for item in broken:
        data[item.offset + 30] ^= 1
    entry, storage = _plain(remote, bytes(data))
    found = list(read_shard(entry, end=len(data)))
    assert [item.offset for item in found if isinstance(item, Damage)] == [item.offset for item in broken]
    assert [item for item in found if isinstance(item, ShardRecord)] == [item for item in clean if item not in broken]
    assert storage.opened <= 5  # the last time for what the shard may be instead


def _plain(remote: Callable[[bytes, list[int]], Altering], data: bytes) -> tuple[Entry, Altering]:
    return Entry("gs://b/s", len(data), "1"), remote(data, [])
