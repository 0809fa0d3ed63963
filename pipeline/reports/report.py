"""The last steps of the graph: who keeps each id, the reports, and `_SUCCESS`.

They belong to the graph and not to the client, which may be gone by then. Rows are spread over a fixed number of
buckets by a digest of their id; a bucket is sorted where it is grouped, so no step holds all rows of a large run.
"""

import hashlib
from collections.abc import Callable, Iterable
from typing import Any

import apache_beam as beam

from pipeline.output.outcome import Outcome
from pipeline.reports.totals import Resolved, SumTotals, Totals, resolve
from transforms.elements import Failure

# A bucket of a hundred million images holds some 100,000 rows.
BUCKETS = 1000
ROWS_PER_SHARD = 100_000


def bucket_of(text: str) -> int:
    """The bucket of an id: the same in every run and process."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8, person=b"bucket").digest()
    return int.from_bytes(digest) % BUCKETS


def shard_count(totals: Totals) -> int:
    """How many files the per-image reports are spread over."""
    return min(BUCKETS, 1 + max(0, totals.inputs - 1) // ROWS_PER_SHARD)


def shard_of(bucket: int, shards: int) -> int:
    """The report shard that holds a bucket."""
    return bucket * shards // BUCKETS


WriteShard = Callable[[int, int, list[Resolved]], None]
Finish = Callable[[Totals, int], None]


class Report(beam.PTransform[Any, Any]):
    """Writes everything that is said of a run as a whole.

    Takes the PCollections `outcomes` (Outcome), `failed` (Failure) and `counted` (int: inputs of a chunk).

    Args:
        ids: Class ids, in the order of the class table.
        write_shard: Writes the rows of one shard: its number, the number of shards, and its buckets in any order.
        finish: Called once, with the sums and the number of inputs that were read, after all shards are written.
    """

    def __init__(self, *, ids: tuple[int, ...], write_shard: WriteShard, finish: Finish) -> None:
        super().__init__()
        self._ids = ids
        self._write_shard = write_shard
        self._finish = finish

    def expand(self, run: Any) -> Any:
        ids = self._ids
        keyed = (
            run["outcomes"] | "Key outcomes" >> beam.Map(_keyed_outcome).with_output_types(tuple[int, Outcome]),
            run["failed"] | "Key failures" >> beam.Map(_keyed_failure).with_output_types(tuple[int, Failure]),
        )
        resolved = keyed | "Group by id" >> beam.CoGroupByKey() | "Resolve ids" >> beam.MapTuple(_resolve)
        totals = (
            resolved
            | "Sum bucket" >> beam.Map(Totals.of, ids)
            | "Sum buckets" >> beam.CombineGlobally(SumTotals(ids))
        )
        written = (
            resolved
            | "Key shards" >> beam.Map(_keyed_shard, totals=beam.pvalue.AsSingleton(totals))
            | "Group by shard" >> beam.GroupByKey()
            | "Write shard" >> beam.Map(_write_shard, self._write_shard)
        )
        inputs = run["counted"] | "Count inputs" >> beam.CombineGlobally(sum)
        return totals | "Finish" >> beam.Map(
            _call_finish,
            self._finish,
            inputs=beam.pvalue.AsSingleton(inputs),
            written=beam.pvalue.AsList(written),
        )


def _keyed_outcome(outcome: Outcome) -> tuple[int, Outcome]:
    return bucket_of(outcome.image_id), outcome


def _keyed_failure(failure: Failure) -> tuple[int, Failure]:
    return bucket_of(failure.image_id or failure.source.where), failure


def _resolve(bucket: int, groups: tuple[Iterable[Outcome], Iterable[Failure]]) -> Resolved:
    outcomes, failures = groups
    return resolve(bucket, outcomes, failures)


def _keyed_shard(resolved: Resolved, totals: Totals) -> tuple[tuple[int, int], Resolved]:
    shards = shard_count(totals)
    return (shard_of(resolved.bucket, shards), shards), resolved


def _write_shard(group: tuple[tuple[int, int], Iterable[Resolved]], write: WriteShard) -> int:
    (shard, shards), resolved = group
    write(shard, shards, list(resolved))
    return shard


def _call_finish(totals: Totals, finish: Finish, inputs: int, written: list[int]) -> Totals:
    # `written` is only waited for: the reports of single images are complete before anything says that they are.
    finish(totals, inputs)
    return totals
