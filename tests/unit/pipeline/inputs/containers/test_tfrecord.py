"""Shards: the same bytes and records as TensorFlow's, from any offset, and nothing intact lost to damage."""

import io
import itertools
import random
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from maskbeam.pipeline.inputs.containers import tfrecord
from maskbeam.pipeline.inputs.containers.tfrecord import (
    Damage,
    ShardRecord,
    find_headers,
    frame,
    masked_crc,
    read_records,
    write_records,
)

PAYLOADS = st.lists(
    st.binary(max_size=80) | st.integers(0, 400).map(bytes) | st.binary(min_size=1, max_size=8).map(lambda b: b * 50),
    max_size=12,
)


def read(data: bytes, start: int = 0, end: int | None = None) -> list[ShardRecord | Damage]:
    return list(read_records(io.BytesIO(data[start:]), start=start, end=end))


def payloads_of(found: list[ShardRecord | Damage]) -> list[bytes]:
    return [item.payload for item in found if isinstance(item, ShardRecord)]


def damage_of(found: list[ShardRecord | Damage]) -> list[int]:
    return [item.offset for item in found if isinstance(item, Damage)]


def shard_of(payloads: list[bytes]) -> tuple[bytes, list[int]]:
    frames = [frame(payload) for payload in payloads]
    return b"".join(frames), np.cumsum([0, *map(len, frames)]).tolist()


@pytest.mark.parametrize("compress", [False, True])
def test_tensorflow_reads_what_we_write(tmp_path: Path, compress: bool) -> None:
    payloads = [b"", b"one", bytes(100_000)]
    path = tmp_path / "shard"
    with path.open("wb") as file:
        write_records(file, payloads, compress=compress)
    dataset = tf.data.TFRecordDataset(str(path), compression_type="GZIP" if compress else "")
    assert [record.numpy() for record in dataset] == payloads


def test_we_read_what_tensorflow_writes(tmp_path: Path) -> None:
    payloads = [b"", b"one", bytes(3_000_000), b"last"]
    path = tmp_path / "shard"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for payload in payloads:
            writer.write(payload)
    found = read(path.read_bytes())
    assert payloads_of(found) == payloads
    assert path.read_bytes() == shard_of(payloads)[0]
    assert [item.crc for item in found if isinstance(item, ShardRecord)] == [
        masked_crc(payload) for payload in payloads
    ]


@given(st.binary(max_size=300), st.lists(st.tuples(st.integers(0, 300), st.integers(0, 2**33)), max_size=4))
@settings(max_examples=100, deadline=None)
def test_headers_are_found_where_a_plain_loop_finds_them(noise: bytes, headers: list[tuple[int, int]]) -> None:
    block = bytearray(noise + bytes(40))
    for at, length in headers:
        size = length.to_bytes(8, "little")
        block[at : at + 12] = size + masked_crc(size).to_bytes(4, "little")
    data = bytes(block)
    expected = [
        at
        for at in range(len(data) - 11)
        if data[at + 4 : at + 8] == bytes(4)
        and masked_crc(data[at : at + 8]) == int.from_bytes(data[at + 8 : at + 12], "little")
    ]
    assert find_headers(data).tolist() == expected


@pytest.mark.parametrize("size", range(14))
def test_a_short_block_has_no_header_but_its_own(size: int) -> None:
    assert find_headers(frame(b"")[:size]).tolist() == ([0] if size >= 12 else [])


@given(PAYLOADS, st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_any_split_and_any_damage_give_the_same_once(payloads: list[bytes], dice: random.Random) -> None:
    clean, _ = shard_of(payloads)
    data = bytearray(clean)
    for _ in range(dice.randint(0, 4)):
        at = dice.randint(0, len(data))
        cut = dice.randint(0, 30)
        data[at : at + cut] = dice.choice([dice.randbytes(cut), b"", dice.randbytes(dice.randint(0, 60)), bytes(cut)])
    damaged = bytes(data)
    whole = read(damaged)
    points = sorted({0, len(damaged) + 1, *(dice.randint(0, len(damaged)) for _ in range(dice.randint(0, 5)))})
    parts = [item for start, end in itertools.pairwise(points) for item in read(damaged, start, end)]
    assert parts == whole

    found = payloads_of(whole)
    intact = [payload for payload in payloads if frame(payload) in damaged]
    assert {payload for payload in intact if len(payload) > 20} <= set(found)
    assert bool(damage_of(whole)) == (b"".join(map(frame, found)) != damaged)


@pytest.mark.parametrize("points", [[0, 40, 80], [0, 1, 2, 3, 116], [0, 116, 232, 348]])
def test_every_start_finds_the_next_record(points: list[int]) -> None:
    data, starts = shard_of([bytes([i]) * 100 for i in range(3)])
    for start in points:
        assert [item.offset for item in read(data, start)] == [at for at in starts[:-1] if at >= start]


def test_a_damaged_payload_costs_that_record_only() -> None:
    payloads = [bytes([i]) * 50 for i in range(6)]
    data, starts = shard_of(payloads)
    for broken in ([0], [2], [5], [2, 3], [0, 1, 2, 3, 4, 5]):
        damaged = bytearray(data)
        for i in broken:
            damaged[starts[i] + 30] ^= 1
        found = read(bytes(damaged))
        assert payloads_of(found) == [payload for i, payload in enumerate(payloads) if i not in broken]
        assert damage_of(found) == [starts[i] for i in broken]


def test_a_damaged_length_is_one_place_and_the_rest_is_found_again() -> None:
    payloads = [bytes([i]) * 50 for i in range(6)]
    data, starts = shard_of(payloads)
    for byte in range(12):
        damaged = bytearray(data)
        damaged[starts[2] + byte] ^= 0x40
        found = read(bytes(damaged))
        assert payloads_of(found) == payloads[:2] + payloads[3:]
        assert damage_of(found) == [starts[2]]


def test_bytes_lost_inside_a_record_do_not_cost_the_next_ones() -> None:
    payloads = [bytes([i]) * 50 for i in range(6)]
    data, starts = shard_of(payloads)
    found = read(data[: starts[1] + 20] + data[starts[1] + 30 :])
    assert payloads_of(found) == payloads[:1] + payloads[2:]
    assert damage_of(found) == [starts[1]]


def test_a_truncated_tail_keeps_all_complete_records() -> None:
    payloads = [b"a" * 50, b"b" * 50]
    data, starts = shard_of(payloads)
    for size in range(len(data)):
        complete = sum(start <= size for start in starts[1:])
        found = read(data[:size])
        assert payloads_of(found) == payloads[:complete]
        assert damage_of(found) == ([] if size in starts else [starts[complete]])


def test_an_empty_shard_is_fine() -> None:
    assert read(b"") == []


def test_a_record_in_the_middle_of_zeros_is_found() -> None:
    data = bytes(3_000_000) + frame(b"") + bytes(3_000_000) + frame(b"here")
    found = read(data)
    assert payloads_of(found) == [b"", b"here"]
    assert damage_of(found) == [0, 3_000_016]


class Metered(io.BytesIO):
    """A stream that remembers how much was asked for at once."""

    most = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.most = max(self.most, size or 0)
        return super().read(size)


@pytest.mark.parametrize("length", [1 << 29, 1 << 31, 1 << 62])
def test_a_huge_declared_length_is_never_asked_for(length: int) -> None:
    size = length.to_bytes(8, "little")
    header = size + masked_crc(size).to_bytes(4, "little")
    stream = Metered(header + b"x" * 1000 + frame(b"next"))
    found = list(read_records(stream))
    assert payloads_of(found) == [b"next"]
    assert damage_of(found) == [0]
    assert stream.most <= 4 << 20


def test_memory_stays_flat_over_a_long_damaged_place() -> None:
    class Endless:
        left = 60

        def read(self, size: int, /) -> bytes:
            self.left -= 1
            assert size <= 1 << 22
            return bytes(1 << 20) if self.left > 0 else b""

    assert damage_of(list(read_records(Endless()))) == [0]


def test_headers_made_to_waste_time_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tfrecord, "_MAX_WASTED_BYTES", 20 << 20)
    checked = 0
    real = tfrecord.masked_crc

    def counting(data: bytes) -> int:
        nonlocal checked
        checked += len(data)
        return real(data)

    size = (3 << 20).to_bytes(8, "little")
    header = size + masked_crc(size).to_bytes(4, "little")
    data = header * 1000 + bytes(4 << 20) + frame(b"kept")
    monkeypatch.setattr(tfrecord, "masked_crc", counting)
    assert payloads_of(read(data)) == [b"kept"]
    assert checked < 40 << 20


def test_reading_on_from_a_known_boundary_reports_the_damage_there() -> None:
    data, starts = shard_of([b"a" * 50, b"b" * 50, b"c" * 50])
    damaged = bytearray(data)
    damaged[starts[1] + 20] ^= 1
    found = list(read_records(io.BytesIO(bytes(damaged[starts[1] :])), start=starts[1], aligned=True))
    assert damage_of(found) == [starts[1]]
    assert payloads_of(found) == [b"c" * 50]


def test_a_large_record_is_held_twice_at_most() -> None:
    size = 32 << 20
    payload = memoryview(frame(bytes(size)))

    class Stream:
        at = 0

        def read(self, count: int, /) -> bytes:
            self.at += count
            return bytes(payload[self.at - count : self.at])

    tracemalloc.start()
    try:
        for record in read_records(Stream()):
            assert isinstance(record, ShardRecord)
            assert len(record.payload[1:]) == size - 1  # as its image is, a copy
        assert tracemalloc.get_traced_memory()[1] < 2.8 * size
    finally:
        tracemalloc.stop()
