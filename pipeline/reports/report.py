"""The last steps of the graph: who keeps each id, the reports, and `_SUCCESS`.

They belong to the graph and not to the client, which may be gone by then. Rows are spread over a fixed number of
buckets by a digest of their id; a bucket is sorted where it is grouped, so no step holds all rows of a large run.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any

import apache_beam as beam

from maskbeam.pipeline.reports.packed import Buckets, Gather, pack_resolved, unpack
from maskbeam.pipeline.reports.totals import BUCKETS, Resolved, SumTotals, Totals, bucket_of, resolve
from maskbeam.transforms.elements import Failure, Found
from maskbeam.transforms.garbage_collection import give_back
from maskbeam.transforms.tiling.work import Work

ROWS_PER_SHARD = 100_000


def shard_count(totals: Totals) -> int:
    """The number of files that the per-image reports are spread over."""
    return min(BUCKETS, 1 + max(0, totals.inputs - 1) // ROWS_PER_SHARD)


def shard_of(bucket: int, shards: int) -> int:
    """The report shard that holds a bucket."""
    return bucket * shards // BUCKETS


WriteShard = Callable[[int, int, Iterable[Resolved]], None]
Finish = Callable[[Totals, Found, Work | None], None]


class Report(beam.PTransform[Any, Any]):
    """Writes everything that is said of a run as a whole.

    Takes the PCollections `failed` (Failure) and `counted` (Found, of each chunk), and under `outcomes` a tuple of
    PCollections (Outcome). Each is gathered by itself, because the local runner keeps whatever comes to a `Flatten`.
    Where images are cut into windows also `work` (Work, of each bundle).

    Args:
        write_shard: Writes the rows of one shard: its number, the number of shards, and its buckets in any order,
            which can be gone through several times.
        finish: Called once, with the sums, with what was found, and with the work where images are cut into windows,
            after all shards are written.
    """

    def __init__(self, *, write_shard: WriteShard, finish: Finish) -> None:
        super().__init__()
        self._write_shard = write_shard
        self._finish = finish

    def expand(self, run: Any) -> Any:
        keyed = (
            run["failed"] | "Key failures" >> beam.Map(_keyed_failure).with_output_types(tuple[int, Failure]),
            *(outcomes | f"Gather outcomes {n}" >> Gather() for n, outcomes in enumerate(run["outcomes"], 1)),
        )
        resolve_ids = beam.ParDo(_Resolve())  # type: ignore[no-untyped-call]
        resolved = keyed | "Group by id" >> beam.CoGroupByKey() | "Resolve ids" >> resolve_ids
        totals = resolved | "Sum bucket" >> beam.Map(Totals.of) | "Sum buckets" >> beam.CombineGlobally(SumTotals())
        written = (
            resolved
            | "Pack" >> beam.Map(_packed)
            | "Key shards" >> beam.Map(_keyed_shard, totals=beam.pvalue.AsSingleton(totals))
            | "Group by shard" >> beam.GroupByKey()
            | "Write shard" >> beam.Map(_write_shard, self._write_shard)
        )
        found = run["counted"] | "Sum what was found" >> beam.CombineGlobally(Found.sum)
        sides = {"found": beam.pvalue.AsSingleton(found), "written": beam.pvalue.AsList(written)}
        if "work" in run:
            work = run["work"] | "Sum work" >> beam.CombineGlobally(Work.sum)
            sides["work"] = beam.pvalue.AsSingleton(work)
        return totals | "Finish" >> beam.Map(_call_finish, self._finish, **sides)


def _keyed_failure(failure: Failure) -> tuple[int, Failure]:
    return bucket_of(failure.image_id or failure.source.where), failure


class _Resolve(beam.DoFn):
    def start_bundle(self) -> None:
        # The images are done: reports can have the memory of their pixels.
        give_back()

    def process(self, group: tuple[int, Any]) -> Iterator[Resolved]:
        bucket, (failures, *packed) = group
        yield resolve(bucket, chain.from_iterable(map(unpack, chain.from_iterable(packed))), failures)


def _packed(resolved: Resolved) -> tuple[int, bytes]:
    return resolved.bucket, pack_resolved(resolved)


def _keyed_shard(bucket: tuple[int, bytes], totals: Totals) -> tuple[tuple[int, int], bytes]:
    number, packed = bucket
    shards = shard_count(totals)
    return (shard_of(number, shards), shards), packed


def _write_shard(group: tuple[tuple[int, int], Iterable[bytes]], write: WriteShard) -> int:
    (shard, shards), packed = group
    write(shard, shards, Buckets(list(packed)))
    return shard


def _call_finish(
    totals: Totals, finish: Finish, found: Found, written: list[int], work: Work | None = None
) -> Totals:
    # `written` is only waited for: the reports of single images are complete before anything says that they are.
    finish(totals, found, work)
    return totals
