"""TFRecord shards, read from any byte offset and salvaged where they are damaged.

A record is a little-endian uint64 length, the masked CRC32C of those eight bytes, the payload, and the payload's
masked CRC32C (as described in TensorFlow's `tfrecord` guide). The two checksums let a reader that starts anywhere
find the next intact record, so that many workers can share one shard and damage costs only what it hit.

Everything here works on a forward stream in flat memory. What is an intact record depends on its own bytes alone;
a damaged place belongs to the record before it. So any set of split points yields the same records and the same
damaged places, each once. (A payload that itself holds whole framed records is the one exception, when a split
point falls into it.)
"""

import functools
import gzip
import struct
from collections.abc import Generator, Iterable, Iterator
from typing import Any, BinaryIO, NamedTuple, Protocol

import google_crc32c
import numpy as np
from numpy.typing import NDArray

MAX_RECORD_BYTES = 1 << 30
HEADER_BYTES = 12
_FRAME_BYTES = 16
_READ_BYTES = 1 << 20
_MOST_READ_BYTES = 16 << 20
# Headers that were made to look right cost the checksum of what they claim; past this, long ones are not believed.
_MAX_WASTED_BYTES = 16 << 30


class ShardRecord(NamedTuple):
    """One intact record: where it starts in the (uncompressed) shard, its payload and that one's masked CRC32C."""

    offset: int
    payload: bytes
    crc: int

    @property
    def end(self) -> int:
        """The offset of the next record."""
        return self.offset + len(self.payload) + _FRAME_BYTES


class Damage(NamedTuple):
    """One damaged place: where it starts in the (uncompressed) shard, and what is wrong in words."""

    offset: int
    reason: str


class Readable(Protocol):
    """A forward stream: `read(n)` gives at most n bytes, and `b""` only at its end."""

    def read(self, size: int, /) -> bytes: ...


def masked_crc(data: bytes) -> int:
    """CRC32C of `data`, rotated and offset as TFRecord wants it, because data may itself hold CRCs."""
    crc = int(google_crc32c.value(data))
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def frame(payload: bytes) -> bytes:
    """`payload` as one record."""
    length = struct.pack("<Q", len(payload))
    return b"".join((length, struct.pack("<I", masked_crc(length)), payload, struct.pack("<I", masked_crc(payload))))


def write_records(stream: BinaryIO, payloads: Iterable[bytes], *, compress: bool = False) -> None:
    """Writes a shard; the same payloads always give the same bytes, compressed or not."""
    if compress:
        with gzip.GzipFile(filename="", mode="wb", fileobj=stream, mtime=0) as compressed:
            compressed.writelines(map(frame, payloads))
    else:
        stream.writelines(map(frame, payloads))


def find_headers(block: bytes) -> NDArray[np.intp]:
    """Positions in `block` of eight bytes that are a length below 4 GiB with its right checksum behind them.

    CRC32C is affine: over eight bytes of which the upper four are 0 it is a constant XOR one table entry for each
    of the lower four, so all positions are checked at once.
    """
    n = max(0, len(block) - HEADER_BYTES + 1)
    data = np.frombuffer(block, np.uint8)
    zero = data == 0
    candidate = zero[4 : 4 + n] & zero[5 : 5 + n] & zero[6 : 6 + n] & zero[7 : 7 + n]
    # The checksum of length 0 does not begin with a zero byte: runs of zeros, common in images, are no headers.
    candidate &= ~(zero[:n] & zero[1 : 1 + n] & zero[2 : 2 + n] & zero[3 : 3 + n] & zero[8 : 8 + n])
    at = np.flatnonzero(candidate)
    base, tables = _crc_tables()
    crc = np.full(len(at), base, np.uint32)
    for k, table in enumerate(tables):
        crc ^= table[data[at + k]]
    masked = (crc >> 15 | crc << 17) + np.uint32(0xA282EAD8)
    stored = data[at[:, np.newaxis] + np.arange(8, 12)].view("<u4")[:, 0]
    return np.compress(masked == stored, at)


def read_records(
    stream: Readable, *, start: int = 0, end: int | None = None, aligned: bool = False
) -> Iterator[ShardRecord | Damage]:
    """The records that start in `[start, end)`, and the damaged places that belong to them, in order.

    Args:
        stream: The (uncompressed) shard from its byte `start` on. It must go on behind `end`, where the last record
            and the damage behind it may reach.
        start: Byte offset of the stream in the shard. Above 0, reading begins at the next intact record, and
            what is damaged before it belongs to whoever reads the bytes before `start`.
        end: Byte offset where other readers take over; None: the shard's end.
        aligned: `start` is known to lie where a record begins, so what is damaged there belongs here.
    """
    window = _Window(stream, start)
    position: int | None = start
    if start > 0 and not aligned:
        position = next((at for at in _headers(window, start, end) if window.record(at)), None)
    while position is not None:
        record = window.record(position)
        if record is None:
            position = (yield from _damage(window, position)) if window.load(position, 1) else None
        elif end is not None and position >= end:
            return
        else:
            window.forget(record.end)
            yield record
            position = record.end


class _Window:
    """The part of a forward stream that is being looked at; `load` forgets what lies before its position."""

    def __init__(self, stream: Readable, offset: int) -> None:
        self._stream = stream
        self._data = bytearray()
        self._base = offset
        self._ended = False
        self._wasted = 0

    def load(self, position: int, size: int) -> bool:
        """True if the stream has `size` bytes from `position` on; they are held then."""
        while not self._ended and self._base + len(self._data) < position + size:
            # Grows with what is really there, not with what a damaged length claims.
            more = self._stream.read(min(max(_READ_BYTES, len(self._data)), _MOST_READ_BYTES))
            self._ended = not more
            del self._data[: max(0, position - self._base)]
            self._data += more
            self._base = position
        return self._base + len(self._data) >= position + size

    def block(self, position: int) -> bytes:
        """The bytes that are held from `position` on, up to a limit."""
        return self._bytes(position, _READ_BYTES)

    def forget(self, position: int) -> None:
        """Lets go of what lies before `position`, which is held."""
        del self._data[: position - self._base]
        self._base = position

    def _bytes(self, position: int, size: int) -> bytes:
        start = position - self._base
        with memoryview(self._data) as view:
            return bytes(view[start : start + size])

    def record(self, position: int) -> ShardRecord | None:
        """The intact record at `position`, if there is one."""
        length = self.length(position)
        if length is None or length > MAX_RECORD_BYTES or (length > _READ_BYTES and self._wasted > _MAX_WASTED_BYTES):
            return None
        if self.load(position, length + _FRAME_BYTES):
            payload = self._bytes(position + HEADER_BYTES, length)
            crc: int = struct.unpack_from("<I", self._data, position - self._base + HEADER_BYTES + length)[0]
            if masked_crc(payload) == crc:
                return ShardRecord(position, payload, crc)
        self._wasted += length
        return None

    def length(self, position: int) -> int | None:
        """The length that the record at `position` declares, if its checksum vouches for it."""
        if not self.load(position, HEADER_BYTES):
            return None
        header = self._bytes(position, HEADER_BYTES)
        length, crc = struct.unpack("<QI", header)
        return length if masked_crc(header[:8]) == crc else None

    @property
    def end(self) -> int:
        """Offset behind the last byte that was read."""
        return self._base + len(self._data)


def _headers(window: _Window, position: int, end: int | None = None) -> Iterator[int]:
    while window.load(position, HEADER_BYTES):
        block = window.block(position)
        for at in find_headers(block).tolist():
            if end is not None and position + at >= end:
                return
            yield position + at
        position += len(block) - HEADER_BYTES + 1
        if end is not None and position >= end:
            return


def _damage(window: _Window, position: int) -> Generator[Damage, None, int | None]:
    """The damaged places from `position` on; returns where the next intact record starts, None at the end.

    As long as the lengths of damaged records can be trusted, each of them is a place of its own.
    """
    place: int | None = position
    intact = None
    for at in _headers(window, position):
        if window.record(at):
            intact = at
            break
        if place is not None and at >= place:
            yield Damage(place, _reason(window, at) if at == place else "the length of a record is damaged")
            place = at + (window.length(at) or 0) + _FRAME_BYTES if at == place else None
    if place is not None and place < (window.end if intact is None else intact):
        yield Damage(
            place, "the shard ends inside a record" if intact is None else "the length of a record is damaged"
        )
    return intact


def _reason(window: _Window, position: int) -> str:
    length = window.length(position) or 0
    if length > MAX_RECORD_BYTES:
        return f"a record declares more than {MAX_RECORD_BYTES >> 20} MiB"
    if not window.load(position, length + _FRAME_BYTES):
        return "the shard ends inside a record"
    return "a record's checksum does not match its data"


@functools.cache
def _crc_tables() -> tuple[np.uint32, NDArray[Any]]:
    base = google_crc32c.value(bytes(8))
    single = [
        [google_crc32c.value(bytes(k) + bytes([b]) + bytes(7 - k)) ^ base for b in range(256)] for k in range(4)
    ]
    return np.uint32(base), np.array(single, np.uint32)
