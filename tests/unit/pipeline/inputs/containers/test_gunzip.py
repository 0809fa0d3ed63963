"""Gzip streams: equal to the standard library's where they are whole, and kept up to the damage where not."""

import gzip
import io
import random
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskbeam.pipeline.inputs.containers.gunzip import Gunzip, is_gzip


def read_all(stream: Gunzip, size: int = 1000) -> bytes:
    pieces = list(iter(lambda: stream.read(size), b""))
    assert all(len(piece) <= size for piece in pieces)
    return b"".join(pieces)


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=3), st.integers(0, 40), st.integers(1, 500))
@settings(max_examples=50, deadline=None)
def test_whole_streams_of_several_members(members: list[bytes], padding: int, size: int) -> None:
    stream = Gunzip(io.BytesIO(b"".join(map(gzip.compress, members)) + bytes(padding)))
    assert read_all(stream, size) == b"".join(members)
    assert not stream.damaged


@pytest.mark.parametrize("content", [random.Random(0).randbytes(5000), b"ab" * 5000])
def test_everything_before_a_truncation_is_kept(content: bytes) -> None:
    packed = gzip.compress(content)
    for size in range(1, len(packed), 7):
        stream = Gunzip(io.BytesIO(packed[:size]))
        expected = zlib.decompressobj(31).decompress(packed[:size])
        assert read_all(stream, 100) == expected
        assert stream.damaged


def test_everything_before_a_flaw_is_kept() -> None:
    parts = [bytes([i]) * 3000 for i in range(9)]
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    blocks = [packer.compress(part) + packer.flush(zlib.Z_FULL_FLUSH) for part in parts]
    flaw = b"\x07"  # a block of the reserved type
    stream = Gunzip(io.BytesIO(b"".join(blocks[:5]) + flaw + b"".join(blocks[5:])))
    assert read_all(stream) == b"".join(parts[:5])
    assert stream.damaged


@pytest.mark.parametrize("tail", [b"garbage", b"\0\0\0x"])
def test_garbage_behind_the_last_member_is_damage(tail: bytes) -> None:
    stream = Gunzip(io.BytesIO(gzip.compress(b"data") + tail))
    assert read_all(stream) == b"data"
    assert stream.damaged


def test_a_wrong_checksum_keeps_all_data() -> None:
    packed = bytearray(gzip.compress(b"data" * 100))
    packed[-5] ^= 1
    stream = Gunzip(io.BytesIO(bytes(packed)))
    assert read_all(stream) == b"data" * 100
    assert stream.damaged


def test_a_bomb_comes_in_bounded_pieces() -> None:
    stream = Gunzip(io.BytesIO(gzip.compress(bytes(50_000_000))))
    assert len(read_all(stream, 1 << 16)) == 50_000_000


def test_gzip_is_told_by_content() -> None:
    assert is_gzip(gzip.compress(b""))
    assert not is_gzip(b"\x1f\x8b")
    assert not is_gzip(b"PK")
