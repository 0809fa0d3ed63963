from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from maskbeam.pipeline.output.outcome import Outcome, OutcomeCoder
from maskbeam.pipeline.reports.packed import pack_resolved, unpack_resolved
from maskbeam.pipeline.reports.totals import KINDS, SAMPLES, Resolved, SumTotals, Totals, resolve
from maskbeam.transforms.elements import Failure, Source
from maskbeam.transforms.measures.pixel_statistics import Pixels
from maskbeam.transforms.measures.pixels import PIXELS
from tests.support.report_inputs import counted_with


def outcome(image_id: str, where: str = "", content: str = "", *, pixels: int = 4, **other: object) -> Outcome:
    source = Source(where or f"{image_id}.png", "1", content or where or image_id)
    counted = counted_with({PIXELS: Pixels({1: pixels} if pixels else {}, pixels)})
    return Outcome(image_id, source, 2, 2, counted, **other)  # type: ignore[arg-type]


def lost(image_id: str, where: str, content: str, rival: str) -> Outcome:
    return Outcome(image_id, Source(where, "1", content), rival=rival)


def summed(outcomes: Sequence[Outcome], failures: Sequence[Failure] = ()) -> Totals:
    return Totals.of(resolve(0, outcomes, failures))


def test_outcomes_survive_their_coder() -> None:
    for held in (outcome("a", skipped=True, worker="w"), lost("a", "x", "c1", "c2")):
        assert OutcomeCoder().decode(OutcomeCoder().encode(held)) == held


def test_buckets_survive_being_packed() -> None:
    outcomes = [outcome("a", "x/a.jpg", "1"), outcome("a", "y/a.jpg", "1"), outcome("b"), lost("c", "x", "c1", "c2")]
    bucket = resolve(7, outcomes, [failure(1)])
    assert (len(bucket.done), len(bucket.duplicates), len(bucket.failed)) == (2, 1, 2)
    assert unpack_resolved(pack_resolved(bucket)) == bucket


def test_of_two_sources_under_one_id_the_smaller_place_keeps_it_in_any_order() -> None:
    one, other = outcome("a", "x/a.jpg"), outcome("a", "y/a.jpg")
    first = min(one, other, key=lambda o: o.source.place)
    for order in ([one, other], [other, one]):
        resolved = resolve(0, order, [])
        assert resolved.done == (first,)
        assert [(f.code, f.source) for f in resolved.failed] == [
            ("DUPLICATE_ID", (other if first is one else one).source)
        ]
        assert "--keep_extension" in resolved.failed[0].reason
        assert "--id_root" in resolved.failed[0].reason


def test_copies_are_duplicates_and_no_failures() -> None:
    resolved = resolve(0, [outcome("a", "x/a.jpg", "same"), outcome("a", "y/a.jpg", "same")], [])
    assert len(resolved.done) == len(resolved.duplicates) == 1
    assert resolved.failed == ()


def test_a_duplicate_is_one_of_an_image_that_is_done_here() -> None:
    resolved = resolve(0, [lost("a", "x", "c1", "c2"), lost("b", "x", "c1", "c1")], [])
    assert [f.image_id for f in resolved.failed] == ["a", "b"]
    assert resolved.duplicates == ()


def test_the_same_image_twice_counts_once() -> None:
    held = outcome("a")
    totals = summed([held, outcome("a", skipped=True)])
    assert (totals.done, totals.duplicates, totals.statistics[PIXELS].images, totals.skipped) == (1, 1, 1, 0)


def failure(n: int) -> Failure:
    return Failure(f"f{n}", Source(f"f{n}", "1"), f"CODE{n % 3}", f"reason {n}")


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.randoms(use_true_random=False), st.integers(1, 7))
def test_any_split_sums_to_the_same(kinds: list[bool], random: object, parts: int) -> None:
    outcomes = [outcome(f"i{n}", pixels=n + 1, worker=f"w{n % 2}") for n, good in enumerate(kinds) if good]
    failures = [failure(n) for n, good in enumerate(kinds) if not good]
    whole = summed(outcomes, failures)
    random.shuffle(outcomes)  # type: ignore[attr-defined]
    combine = SumTotals()
    accumulators = []
    for part in range(parts):
        accumulator = combine.create_accumulator()
        accumulators.append(combine.add_input(accumulator, summed(outcomes[part::parts], failures[part::parts])))
    assert combine.extract_output(combine.merge_accumulators(accumulators)) == whole
    assert whole.inputs == len(kinds)
    assert whole.statistics[PIXELS].pixels[1] == sum(n + 1 for n, good in enumerate(kinds) if good)
    assert len(whole.samples) == min(SAMPLES, len(outcomes))


def test_an_empty_bucket_sums_to_nothing() -> None:
    assert Totals.of(Resolved(0, (), (), ())) == SumTotals().create_accumulator()


def test_reasons_are_counted_by_kind_however_the_failures_are_split() -> None:
    said = ["its 3 bytes are cut", "its 200 bytes are cut", "no image", "its 1,024 bytes are cut", "no image"]
    failures = [Failure("", Source(f"{n}", "1"), "UNREADABLE", reason) for n, reason in enumerate(said)]
    parts = [summed([], failures[:k]) + summed([], failures[k:]) for k in range(6)]
    expected = {"UNREADABLE": {"its 1,024 bytes are cut": 3, "no image": 2}}
    assert [part.reason_counts for part in parts] == [expected] * 6


def test_kinds_of_reasons_are_bounded() -> None:
    failures = [Failure("", Source(f"{n}", "1"), "A", chr(97 + n % 26) + chr(97 + n // 26)) for n in range(400)]
    halves = summed([], failures[::2]) + summed([], failures[1::2])
    assert halves.reasons == summed([], failures).reasons
    assert list(halves.reasons["A"]) == sorted(failure.reason for failure in failures)[:KINDS]
