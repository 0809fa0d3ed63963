import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.pvalue import TaggedOutput
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms import combiners
from apache_beam.transforms.window import FixedWindows, TimestampedValue

from maskbeam.transforms import lookahead
from maskbeam.transforms.elements import EncodedImage, Image, LogitsBatch, SizedCoder, Source, size_of
from maskbeam.transforms.errors import Code, ImageError
from maskbeam.transforms.lookahead import ELEMENTS_AHEAD, GROUPS_AHEAD, InFlight, LookAhead, pool
from tests.support.elements import decoded_image, made_input
from tests.support.graph import local_pipeline


def image(number: int, size: int = 1) -> Image:
    return decoded_image(
        f"image-{number}", Source(f"folder/{number}.png", "1"), np.full((size, size, 1), number, np.uint8)
    )


def doubled(element: Image) -> Image:
    number = int(element.pixels[0, 0, 0])
    if number == 3:
        raise ImageError(Code.UNREADABLE, "it is three")
    if number == 4:
        return TaggedOutput("aside", element.image_id)  # type: ignore[return-value]
    return decoded_image(element.image_id, element.source, element.pixels * 2)


def test_results_keep_their_order_and_failures_and_side_outputs_their_tag() -> None:
    with local_pipeline() as root:
        results = (
            root
            | beam.Create([None])
            | beam.FlatMap(lambda _: map(image, range(100)))
            | LookAhead(doubled, doubled, output_type=Image, tags=("aside",))
        )
        ids = results.main | beam.Map(lambda i: (i.image_id, int(i.pixels[0, 0, 0]))) | combiners.ToList()
        # 3 and 4 leave in the first pass; 6 and 8 would be 3 and 4 only if the second pass saw other values.
        expected = [(f"image-{n}", n * 4 % 256) for n in range(100) if n not in (3, 4) and n * 2 not in (3, 4)]
        expected = [pair for pair in expected if pair[0] != "image-2"]
        assert_that(ids, equal_to([expected]), label="main")
        assert_that(
            results.failed | beam.Map(lambda f: (f.image_id, f.code, f.reason)),
            equal_to([("image-3", "UNREADABLE", "it is three")]),
            label="failed",
        )
        assert_that(results.aside, equal_to(["image-4", "image-2"]), label="aside")


def test_every_element_keeps_its_own_window() -> None:
    with local_pipeline() as root:
        counts = (
            root
            | beam.Create(range(30))
            | beam.Map(lambda n: TimestampedValue(image(n + 10), n))
            | beam.WindowInto(FixedWindows(10))
            | LookAhead(lambda i: i, output_type=Image)
        ).main | beam.CombineGlobally(combiners.CountCombineFn()).without_defaults()
        assert_that(counts, equal_to([10, 10, 10]))


def test_no_element_is_pickled_on_its_way(monkeypatch: pytest.MonkeyPatch) -> None:
    encodes: list[str] = []
    original = SizedCoder.encode

    def counted(self: SizedCoder, value: object) -> bytes:
        encodes.append(type(value).__name__)
        return original(self, value)

    monkeypatch.setattr(SizedCoder, "encode", counted)
    with local_pipeline() as root:
        (
            root
            | beam.Create([None])
            | beam.FlatMap(lambda _: map(image, range(10, 210))).with_output_types(Image)
            | LookAhead(lambda i: i, output_type=Image)
        ).main | combiners.Count.Globally()
    assert encodes == []


def test_the_sized_coder_answers_from_the_arrays_and_still_round_trips() -> None:
    coder = SizedCoder()
    element = image(7, size=100)
    assert 10_000 <= coder.estimate_size(element) <= 10_200
    again = coder.decode(coder.encode(element))
    assert again.image_id == element.image_id
    assert (again.pixels == element.pixels).all()


def test_at_most_the_bound_is_in_flight() -> None:
    gate, started = threading.Event(), []

    def held_back(element: Image) -> Image:
        started.append(element.image_id)
        gate.wait()
        return element

    step = lookahead._LookAhead((held_back,))
    step.start_bundle()
    for n in range(ELEMENTS_AHEAD):
        assert list(step.process(image(n), 0, "window")) == []
    # One more has to wait for the oldest: only once the gate opens does anything come out.
    threading.Timer(0.05, gate.set).start()
    assert next(iter(step.process(image(99), 0, "window"))).value.image_id == "image-0"
    assert len(list(step.finish_bundle())) >= ELEMENTS_AHEAD - len(started) + 1


def test_a_function_sees_a_whole_group_before_its_elements_go_on() -> None:
    seen: list[list[str]] = []

    def renamed(group: Sequence[Image]) -> list[Image]:
        seen.append([i.image_id for i in group])
        return [decoded_image(f"{i.image_id} of {len(group)}", i.source, i.pixels) for i in group]

    step = lookahead._LookAhead((lambda i: decoded_image(i.image_id.upper(), i.source, i.pixels),), 4, renamed)
    step.start_bundle()
    out = [found for n in range(10) for found in step.process(image(n), 0, "window")]
    out += step.finish_bundle()
    assert [w.value.image_id for w in out] == [f"IMAGE-{n} OF {4 if n < 8 else 2}" for n in range(10)]
    assert sorted(map(len, seen)) == [2, 4, 4]


def test_a_group_ends_early_where_its_elements_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookahead, "GROUP_BYTES", 3 * size_of(image(0, size=50)))
    groups: list[int] = []

    def counted(group: Sequence[Image]) -> Sequence[Image]:
        groups.append(len(group))
        return group

    step = lookahead._LookAhead((), 1000, counted)
    step.start_bundle()
    out = [found for n in range(10) for found in step.process(image(n, size=50), 0, "window")]
    out += step.finish_bundle()
    assert len(out) == 10
    assert sorted(groups) == [1, 3, 3, 3]


def test_only_a_few_groups_are_in_flight_however_large() -> None:
    gate, size = threading.Event(), 20

    def held_back(group: Sequence[Image]) -> Sequence[Image]:
        gate.wait()
        return group

    step = lookahead._LookAhead((), size, held_back)
    step.start_bundle()
    for n in range((GROUPS_AHEAD + 1) * size - 1):
        assert list(step.process(image(n), 0, "window")) == []
    threading.Timer(0.05, gate.set).start()
    assert next(iter(step.process(image(1), 0, "window"))).value.image_id == "image-0"
    assert len(list(step.finish_bundle())) > 0


def test_bytes_are_bounded_but_one_element_always_goes_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookahead, "BYTES_AHEAD", -1)  # others hold all there is
    step = lookahead._LookAhead((lambda i: i,))
    step.start_bundle()
    out: list[Any] = []
    for n in range(20):
        out += step.process(image(n, size=50), 0, "window")
        assert len(out) == n + 1
    out += step.finish_bundle()
    assert [w.value.image_id for w in out] == [f"image-{n}" for n in range(20)]


def test_an_error_is_raised_and_gives_back_what_was_held() -> None:
    before = lookahead._held.bytes

    def work(n: int) -> Any:
        if n == 0:
            raise ValueError("broken")
        return np.zeros(1000)

    in_flight = InFlight()
    for n in range(20):
        in_flight.submit(pool(), None, work, n)
    with pytest.raises(ValueError, match="broken"):
        list(in_flight.take(leaving=0))
    pool().submit(int).result()
    for _ in range(1000):
        if lookahead._held.bytes == before:
            break
        threading.Event().wait(0.001)
    assert lookahead._held.bytes == before


@pytest.mark.parametrize("waits", [True, False, lambda element: element.image_id == "image-1"])
def test_elements_that_wait_go_to_more_threads(monkeypatch: pytest.MonkeyPatch, waits: lookahead.Waits) -> None:
    asked: list[bool] = []

    def asked_for(*, waits: bool) -> ThreadPoolExecutor:
        asked.append(waits)
        return pool(waits=waits)

    monkeypatch.setattr(lookahead, "pool", asked_for)
    step = lookahead._LookAhead((), waits=waits)
    step.start_bundle()
    results = [*(result for n in range(3) for result in step.process(image(n), 0, "window")), *step.finish_bundle()]
    assert len(results) == 3
    assert asked == [waits if isinstance(waits, bool) else waits(image(n)) for n in range(3)]


def test_a_batch_of_one_names_its_image_when_it_fails() -> None:
    from maskbeam.transforms.elements import Placement

    held = made_input("a", Source("a.png", "1"), Placement(1, 1, 1, 1, 0, 0, 1, 1), np.zeros((1, 1, 1), np.uint8))
    batch = LogitsBatch((held,), np.zeros((1, 1, 1, 2)), np.zeros(1), np.zeros(1))

    def fails(_: LogitsBatch) -> Iterator[None]:
        raise ImageError(Code.NONFINITE, "no number")

    failure = lookahead.chain((fails,), batch)
    assert (failure.image_id, failure.code) == ("a", "NONFINITE")


def test_two_are_one_chain_whose_elements_are_handed_over_once() -> None:
    def first(element: Image) -> Image:
        return replace(element, pixels=element.pixels * 3)

    def second(element: Image) -> Image:
        return replace(element, pixels=element.pixels + 1)

    def far(element: Image) -> bool:
        return False

    joined = LookAhead(first, output_type=EncodedImage, tags=("one",), group=8, waits=far) | LookAhead(
        second, output_type=Image, tags=("two",)
    )
    assert isinstance(joined, LookAhead)
    assert (joined.steps, joined._tags, joined._group) == ((first, second), ("one", "two"), 8)
    assert (joined._waits, joined._output_type) == (far, Image)
    with local_pipeline() as root:
        made = root | beam.Create([image(2)]) | joined
        assert_that(made.main | beam.Map(lambda i: int(i.pixels[0, 0, 0])), equal_to([7]))


def test_what_sees_groups_or_chooses_whom_it_waits_for_comes_first() -> None:
    plain = LookAhead(list, output_type=Image)
    for other in (
        LookAhead(output_type=Image, together=list),
        LookAhead(list, output_type=Image, waits=lambda element: True),
    ):
        assert isinstance(other | plain, LookAhead)
        with pytest.raises(ValueError, match="first of a chain"):
            plain | other


def test_a_chain_can_be_run_within_something() -> None:
    def backwards(steps: tuple[lookahead.Step, ...]) -> lookahead.Step:
        return lambda element: [step(element) for step in reversed(steps)]

    within = (LookAhead(str, output_type=str, group=3) | LookAhead(float, output_type=float)).within(backwards)
    assert (len(within.steps), within._group, within._output_type) == (1, 3, float)
    assert within.steps[0](1) == [1.0, "1"]
