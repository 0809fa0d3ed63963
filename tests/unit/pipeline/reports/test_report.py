import threading
from collections.abc import Iterable
from itertools import chain

import apache_beam as beam
import pytest

from maskbeam.pipeline.output.outcome import Outcome, OutcomeCoder
from maskbeam.pipeline.reports import packed, report
from maskbeam.pipeline.reports.packed import pack, unpack
from maskbeam.pipeline.reports.report import Report, shard_of
from maskbeam.pipeline.reports.totals import BUCKETS, Resolved, Totals, bucket_of
from maskbeam.transforms.elements import Found
from maskbeam.transforms.tiling.work import Work
from tests.support.graph import local_pipeline
from tests.unit.pipeline.reports.test_totals import failure, outcome

_lock = threading.Lock()
encode = OutcomeCoder().encode
WRITTEN: dict[tuple[int, int], list[Resolved]] = {}
FINISHED: list[tuple[Totals, int, int]] = []
WORK: list[Work | None] = []


def write_shard(shard: int, shards: int, buckets: Iterable[Resolved]) -> None:
    with _lock:
        assert (shard, shards) not in WRITTEN
        WRITTEN[shard, shards] = list(buckets)
        assert list(buckets) == WRITTEN[shard, shards], "buckets can be gone through again"


def finish(totals: Totals, found: Found, work: Work | None) -> None:
    WORK.append(work)
    FINISHED.append((totals, found.inputs, sum(len(r.done) for shard in WRITTEN.values() for r in shard)))


def done(image_id: str) -> Outcome:
    return outcome(image_id)


def run(ids: list[str], failures: int, work: list[Work] | None = None) -> None:
    WRITTEN.clear()
    FINISHED.clear()
    with local_pipeline() as root:
        parts = {
            "outcomes": tuple(root | f"i{n}" >> beam.Create(ids[n::2]) | f"o{n}" >> beam.Map(done) for n in (0, 1)),
            "failed": root | "f" >> beam.Create([failure(n) for n in range(failures)]),
            "counted": root | "c" >> beam.Create([Found(len(ids)), Found(failures)]),
        }
        if work is not None:
            parts["work"] = root | "w" >> beam.Create(work)
        _ = parts | Report(write_shard=write_shard, finish=finish)


def test_it_finishes_once_after_every_shard_is_written() -> None:
    run([f"i{n}" for n in range(200)], 7)
    assert list(WRITTEN) == [(0, 1)]
    ((totals, inputs, written_before),) = FINISHED
    assert (totals.done, sum(totals.failed.values()), inputs, written_before) == (200, 7, 207, 200)
    assert totals.inputs == inputs


def test_work_of_all_bundles_is_added_up() -> None:
    run(["a"], 0, [Work(3, 1, 900), Work(), Work(4, 0, 50)])
    assert WORK.pop() == Work(7, 1, 950)
    run(["a"], 0, [])
    assert WORK.pop() == Work()
    run(["a"], 0)
    assert WORK.pop() is None


def test_reports_have_the_memory_of_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    written_before: list[int] = []
    monkeypatch.setattr(report, "give_back", lambda: written_before.append(len(WRITTEN)))
    run(["a", "b"], 0)
    assert written_before[0] == 0


def test_no_input_is_finished_too() -> None:
    run([], 0)
    assert [(totals.done, inputs) for totals, inputs, _ in FINISHED] == [(0, 0)]


def test_many_rows_are_spread_over_shards_by_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "ROWS_PER_SHARD", 50)
    ids = [f"i{n}" for n in range(120)]
    run(ids, 0)
    assert sorted(WRITTEN) == [(0, 3), (1, 3), (2, 3)]
    for (shard, shards), buckets in WRITTEN.items():
        for bucket in buckets:
            assert all(shard_of(bucket_of(o.image_id), shards) == shard for o in bucket.done)
    assert sorted(o.image_id for buckets in WRITTEN.values() for b in buckets for o in b.done) == sorted(ids)


def test_buckets_are_even_and_stay_what_they_were() -> None:
    assert bucket_of("sub/a") == bucket_of("sub/a") < BUCKETS
    assert len({bucket_of(f"i{n}") for n in range(10_000)}) > 0.99 * BUCKETS
    assert bucket_of("") == 159


def test_bundles_hand_on_what_they_have_gathered_before_it_fills_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = [outcome(f"i{n:03}") for n in range(120)]
    monkeypatch.setattr(packed, "GATHERED", 50 * len(encode(outcomes[0])))
    gather = packed._Gather()
    gather.start_bundle()
    handed_on = [list(gather.process(one)) for one in outcomes]
    assert [n + 1 for n, found in enumerate(handed_on) if found] == [50, 100]
    last = [windowed.value for windowed in gather.finish_bundle()]
    found = [one for _, rows in chain(*handed_on, last) for one in unpack(rows)]
    assert sorted(found, key=lambda one: one.image_id) == sorted(outcomes, key=lambda one: one.image_id)


def test_outcomes_are_packed_where_they_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: OutcomeCoder, encoded: bytes) -> Outcome:
        raise AssertionError("an outcome came out of a shuffle by itself")

    monkeypatch.setattr(OutcomeCoder, "decode", refuse)
    run([f"i{n}" for n in range(20)], 0)
    assert [totals.done for totals, *_ in FINISHED] == [20]


def test_outcomes_of_one_bucket_travel_together() -> None:
    outcomes = [outcome(f"a/long/path/img{n}", where=f"gs://bucket/a/long/path/img{n}.jpg") for n in range(100)]
    rows = list(map(encode, outcomes))
    assert list(unpack(pack(b"".join(rows)))) == outcomes
    assert len(pack(b"".join(rows))) < 0.5 * sum(len(pack(row)) for row in rows)
