"""Outcomes packed into bytes, many at a time: those of a whole run lie in memory until its reports are written."""

import pickle
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from pipeline.output.outcome import Outcome, Plain, from_plain, to_plain
from pipeline.reports.totals import Resolved, bucket_of

# Outcomes that a bundle gathers before it hands them on: a few for each bucket, 4 MB.
GATHERED = 4000


def pack(outcomes: Sequence[Plain]) -> bytes:
    """Outcomes, as `to_plain` gives them: the more of them together, the fewer bytes for each."""
    return _squeezed(outcomes)


def unpack(packed: bytes) -> Iterator[Outcome]:
    """The outcomes that `pack` was given."""
    return map(from_plain, _loosened(packed))


def pack_resolved(resolved: Resolved) -> bytes:
    """A bucket as bytes, which are far smaller than its objects."""
    done, duplicates = (tuple(map(to_plain, outcomes)) for outcomes in (resolved.done, resolved.duplicates))
    return _squeezed((resolved.bucket, done, resolved.failed, duplicates))


def unpack_resolved(packed: bytes) -> Resolved:
    """What `pack_resolved` was given."""
    bucket, done, failed, duplicates = _loosened(packed)
    return Resolved(bucket, tuple(map(from_plain, done)), failed, tuple(map(from_plain, duplicates)))


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
        self._buckets.setdefault(bucket_of(outcome.image_id), []).append(to_plain(outcome))
        self._count += 1
        if self._count >= GATHERED:
            yield from self._packed()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        window = GlobalWindow()
        for packed in self._packed():
            yield WindowedValue(packed, window.max_timestamp(), (window,))

    def _start(self) -> None:
        self._buckets: dict[int, list[Plain]] = {}
        self._count = 0

    def _packed(self) -> Iterator[tuple[int, bytes]]:
        buckets = self._buckets
        self._start()
        return ((bucket, pack(outcomes)) for bucket, outcomes in buckets.items())
