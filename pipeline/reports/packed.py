"""Outcomes packed into bytes, many at a time: those of a whole run lie in memory until its reports are written."""

import heapq
import io
import pickle
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from maskbeam.pipeline.output.outcome import Outcome, OutcomeCoder, from_plain, to_plain
from maskbeam.pipeline.reports.totals import Resolved, bucket_of

# Bytes of outcomes that a bundle gathers before it hands them on: some ten for each bucket.
GATHERED = 2 * 2**20
# Rows that are sorted at once, and how many of each such run are unpacked at once.
_RUN, _BLOCK = 4000, 100
_coder = OutcomeCoder()
Row = tuple[str, str]


def pack(encoded: bytes | bytearray) -> bytes:
    """Outcomes, as their coder gives them, one after the other: the more of them, the fewer bytes for each."""
    return zlib.compress(encoded, level=1)


def unpack(packed: bytes) -> Iterator[Outcome]:
    """The outcomes that `pack` was given."""
    encoded = io.BytesIO(zlib.decompress(packed))
    while encoded.tell() < encoded.getbuffer().nbytes:
        yield from_plain(pickle.load(encoded))  # noqa: S301 - written by the coder, within one pipeline


def pack_resolved(resolved: Resolved) -> bytes:
    """A bucket as bytes, which are far smaller than its objects."""
    done, duplicates = (tuple(map(to_plain, outcomes)) for outcomes in (resolved.done, resolved.duplicates))
    return _squeezed((resolved.bucket, done, resolved.failed, duplicates))


def unpack_resolved(packed: bytes) -> Resolved:
    """Restores what `pack_resolved` was given."""
    bucket, done, failed, duplicates = _loosened(packed)
    return Resolved(bucket, tuple(map(from_plain, done)), failed, tuple(map(from_plain, duplicates)))


def in_order(rows: Iterable[Row]) -> Iterator[Row]:
    """Rows, sorted: runs of them are sorted, wait packed, and are merged, so that few are objects at a time."""
    remaining, runs = iter(rows), []
    while run := sorted(islice(remaining, _RUN)):
        runs.append([_squeezed(run[start : start + _BLOCK]) for start in range(0, len(run), _BLOCK)])
    return heapq.merge(*(chain.from_iterable(map(_loosened, run)) for run in runs))


def _squeezed(plain: object) -> bytes:
    return zlib.compress(pickle.dumps(plain, protocol=pickle.HIGHEST_PROTOCOL), level=1)


def _loosened(squeezed: bytes) -> Any:
    return pickle.loads(zlib.decompress(squeezed))  # noqa: S301 - written by _squeezed() above, within one pipeline


@dataclass(frozen=True)
class Buckets:
    """Buckets that are unpacked one at a time, each time they are gone through."""

    packed: Iterable[bytes]

    def __iter__(self) -> Iterator[Resolved]:
        return map(unpack_resolved, self.packed)


class Gather(beam.PTransform[Any, Any]):
    """Outcomes to `(bucket, packed outcomes)`, several of one bucket together as far as a bundle has them."""

    def expand(self, outcomes: Any) -> Any:
        return outcomes | "Gather" >> beam.ParDo(_Gather()).with_output_types(tuple[int, bytes])


class _Gather(beam.DoFn):
    def __init__(self) -> None:
        self._start()

    def start_bundle(self) -> None:
        # Also after a bundle that failed half way.
        self._start()

    def process(self, outcome: Outcome) -> Iterator[tuple[int, bytes]]:
        # Bytes take a fifth of what objects do. They are copied at once: what `pickle` returns pins the page that its
        # buffer lay in, among pixels, and a few thousand of them keep the memory of all pixels from being used again.
        encoded = _coder.encode(outcome)
        self._buckets[bucket_of(outcome.image_id)] += encoded
        self._bytes += len(encoded)
        if self._bytes >= GATHERED:
            yield from self._packed()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        window = GlobalWindow()
        for packed in self._packed():
            yield WindowedValue(packed, window.max_timestamp(), (window,))

    def _start(self) -> None:
        self._buckets: defaultdict[int, bytearray] = defaultdict(bytearray)
        self._bytes = 0

    def _packed(self) -> Iterator[tuple[int, bytes]]:
        buckets = self._buckets
        self._start()
        return ((bucket, pack(encoded)) for bucket, encoded in buckets.items())
