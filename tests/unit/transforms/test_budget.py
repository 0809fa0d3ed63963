"""Memory that threads share: who waits for whom, and that nobody waits for ever."""

import random
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from maskbeam.pipeline.guards import watched_decoder
from maskbeam.pipeline.guards.watched_decoder import WatchedDecoder
from maskbeam.pipeline.output.tree import Tree
from maskbeam.pipeline.process import memory
from maskbeam.pipeline.process.memory import Kept, WithinMemory, WrittenWithinMemory, ask_for, at_work, memory_bytes
from maskbeam.pipeline.process.watchdog import Watchdog
from maskbeam.transforms import lookahead
from maskbeam.transforms.argmax import Labeling, label_map
from maskbeam.transforms.budget import Budget, admit, asking
from maskbeam.transforms.codecs.decode import decode
from maskbeam.transforms.elements import EncodedImage, Image, LogitsBatch, Placement, Source
from maskbeam.transforms.errors import Code, ImageError
from maskbeam.transforms.lookahead import InFlight, pool
from maskbeam.transforms.products.render import bytes_to_draw, render
from maskbeam.transforms.products.rendering import Rendering
from tests.support.elements import decoded_image, encoded_image, made_input
from tests.support.shard_files import png

SOON = 10.0


def test_nothing_is_asked_for_outside_of_a_task() -> None:
    admit(10**18)
    budget = Budget(1)
    assert budget.take(10)
    assert budget._used == 0


def test_what_fits_does_not_wait_and_is_given_back() -> None:
    budget = Budget(100)
    with budget.task():
        assert budget.take(60)
        assert budget.take(40)
        assert not budget.take(1, wait=False)
    with budget.task():
        assert budget.take(100, wait=False)


def test_what_is_more_than_there_is_runs_alone() -> None:
    budget = Budget(100)
    with budget.task():
        assert budget.take(1000)


def test_one_waits_until_the_other_is_done() -> None:
    budget, first_has, go_on = Budget(100), threading.Event(), threading.Event()
    order = []

    def first() -> None:
        with budget.task():
            budget.take(70)
            first_has.set()
            assert go_on.wait(SOON)
            order.append("first")

    def second() -> None:
        assert first_has.wait(SOON)
        with budget.task():
            assert not budget.take(70, wait=False)
            go_on.set()
            budget.take(70)
            order.append("second")

    with ThreadPoolExecutor(2) as threads:
        for done in [threads.submit(first), threads.submit(second)]:
            done.result(SOON)
    assert order == ["first", "second"]


def test_tasks_that_hold_something_and_want_more_do_not_wait_for_each_other() -> None:
    budget, all_hold = Budget(100), threading.Barrier(8)
    together: list[int] = []
    most = []

    def work(_: int) -> None:
        with budget.task():
            budget.take(10)
            all_hold.wait(SOON)
            budget.take(90)
            together.append(1)
            most.append(len(together))
            together.pop()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8), timeout=SOON))
    assert most == [1] * 8


@pytest.mark.parametrize("seed", range(5))
def test_any_tasks_come_to_an_end_and_never_hold_more_than_there_is_but_for_one(seed: int) -> None:
    budget = Budget(100)

    def work(number: int) -> int:
        dice = random.Random(f"{seed} {number}")
        held = 0
        with budget.task():
            for _ in range(dice.randint(1, 3)):
                budget.take(wanted := dice.choice([0, 1, 30, 90, 250]))
                held += wanted
                with budget._changed:
                    assert not held or budget._used <= 100 or budget._working == 1
        return 1

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(work, range(300), timeout=6 * SOON)) == 300
    assert (budget._used, budget._working, len(budget._waiting)) == (0, 0, 0)


def test_an_image_asks_for_its_pixels_before_they_are_decoded() -> None:
    asked: list[int] = []
    image = encoded_image("a", Source("a", "1"), png())
    with asking(asked.append):
        decode(image)
        decode(image, background=(0, 0, 0))
        decode(encoded_image("a", Source("a", "1"), bytes(24), (2, 3, 1), "float32"), input_range=(0, 1))
    assert asked == [6 * 18, 6 * 36, 6 * 12]

    def refuse(count: int) -> None:
        raise ImageError(Code.OUT_OF_MEMORY, "")

    with asking(refuse), pytest.raises(ImageError, match="OUT_OF_MEMORY"):
        decode(image)


def test_what_cannot_be_had_costs_its_image(monkeypatch: pytest.MonkeyPatch) -> None:
    budget = Budget(1000)
    monkeypatch.setattr(memory, "decoding_budget", lambda: budget)
    steps = WithinMemory((lambda image: ask_for(1500) and image, lambda image: image.file_size))
    assert steps(encoded_image("a", Source("a", "1"), file_size=400)) == 400
    with pytest.raises(ImageError, match=r"OUT_OF_MEMORY.*needs about 0.0 GB"):
        steps(encoded_image("a", Source("a", "1"), file_size=4000))
    assert (budget._used, budget._working) == (0, 0)


def test_waiting_for_memory_is_no_hang(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    budget, dog = Budget(100), Watchdog(lambda _: None)
    dog._started = True
    monkeypatch.setattr(memory, "decoding_budget", lambda: budget)
    monkeypatch.setattr(watched_decoder, "watchdog", lambda: dog)
    watched: list[int] = []

    def decoder(image: EncodedImage) -> Image:
        watched.append(len(dog._tasks))
        admit(80)
        watched.append(len(dog._tasks))
        return decoded_image(image.image_id, image.source, np.zeros((1, 1, 1), np.uint8))

    tree = Tree(str(tmp_path), f"{tmp_path}/.tmp/run", "masks/{}.png", "", "")
    steps = WithinMemory((WatchedDecoder(decoder, tree, apart=decoder),))
    with ThreadPoolExecutor(1) as threads:
        with budget.task():
            budget.take(80)
            other = threads.submit(steps, encoded_image("a", Source("a", "1"), file_size=5))
            with budget._changed:
                assert budget._changed.wait_for(lambda: budget._waiting, SOON)
                assert (watched, dog._tasks) == ([1], set())
        assert other.result(SOON).image_id == "a"
    assert watched == [1, 1]


def said_of(side: int) -> LogitsBatch:
    """What a model said of an image of so many pixels a side."""
    place = Placement(side, side, 1, 1, 0, 0, 1, 1)
    image = made_input("a", Source("a", "1"), place, np.zeros((1, 1, 3)))
    return LogitsBatch((image,), np.zeros((1, 1, 1, 2)), np.zeros(1, np.int64), np.zeros(1, np.int64))


def test_large_images_are_written_as_memory_allows_and_small_ones_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    budget = Budget(100 << 20)
    monkeypatch.setattr(memory, "_BUDGET", budget)
    used: list[int] = []

    def write(batch: LogitsBatch) -> int:
        used.append(budget._used)
        return len(batch.images)

    steps = WrittenWithinMemory((write, str), each=24)
    assert [steps(said_of(side)) for side in (64, 2000, 20_000)] == ["1", "1", "1"]
    assert used == [0, 24 * 2000**2, 24 * 20_000**2]
    assert budget._used == 0


def test_other_tasks_ask_for_memory_where_they_need_much(monkeypatch: pytest.MonkeyPatch) -> None:
    budget = Budget(1 << 30)
    monkeypatch.setattr(memory, "_BUDGET", budget)
    with at_work(1000):
        admit(10**9)  # nobody looks after a small one
        assert budget._used == 0
    with at_work(100 << 20):
        admit(50 << 20)
        assert budget._used == 150 << 20
    assert budget._used == 0


def test_large_images_that_are_kept_count_until_they_are_gone() -> None:
    kept, source, place = Kept(), Source("a", "1"), Placement(1, 1, 1, 1, 0, 0, 1, 1)
    for side in (8, 4096):
        image = made_input("a", source, place, np.zeros((1, 1, 3)), np.zeros((side, side, 1), np.uint8))
        kept.add(image)
        assert kept.bytes == (side**2 if side > 8 else 0)
    del image
    assert kept.bytes == 0


def test_large_images_that_are_cut_into_windows_count_until_the_last_window_is_gone() -> None:
    kept = Kept()
    image = decoded_image("a", Source("a", "1"), np.zeros((4096, 4096, 1), np.uint8))
    kept.add(image)
    window = image.pixels[5:9]
    del image
    assert kept.bytes == 4096**2
    del window
    assert kept.bytes == 0


@pytest.mark.parametrize("products", [frozenset[str](), frozenset({"overlay"}), frozenset({"confidence"})])
def test_drawing_takes_no_more_than_is_asked_for(products: frozenset[str]) -> None:
    side = 1500
    image = np.full((side, side, 3), 9, np.uint8) if "overlay" in products else None
    batch = said_of(side)
    (one,) = batch.images
    batch = replace(batch, images=(replace(one, image=image),), logits=np.ones((1, 9, 9, 2), np.float32))
    labeling = Labeling("logits", (0, 1), keep_confidence="confidence" in products)
    rendering = Rendering(products, {0: (1, 2, 3), 1: (4, 5, 6)}, ())
    render(label_map(said_of(8), labeling), replace(rendering, products=frozenset()))
    tracemalloc.start()
    render(label_map(batch, labeling), rendering)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak / side**2 < bytes_to_draw(products) + 4  # what an image of this size adds of its own


def test_the_memory_is_that_of_the_smallest_group(tmp_path: Path) -> None:
    of_process = tmp_path / "cgroup"
    of_process.write_text("0::/pod/container\n")
    groups = tmp_path / "groups"
    (groups / "pod/container").mkdir(parents=True)
    machine = memory_bytes(groups, tmp_path / "nothing")
    assert machine > 1 << 28
    (groups / "pod/container/memory.max").write_text("max\n")
    assert memory_bytes(groups, of_process) == machine
    (groups / "pod/memory.max").write_text("1000000\n")
    assert memory_bytes(groups, of_process) == 1_000_000
    (groups / "pod/container/memory.max").write_text("5000\n")
    assert memory_bytes(groups, of_process) == 5000
    (groups / "memory").mkdir()
    (groups / "memory/memory.limit_in_bytes").write_text("70\n")
    assert memory_bytes(groups, tmp_path / "nothing") == 70


def test_what_becomes_large_is_not_begun_ahead_of_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookahead, "BYTES_AHEAD", lookahead._held.bytes + 10**9)
    monkeypatch.setattr(lookahead, "BYTES_AT_ALL", lookahead._held.bytes + lookahead._held.inputs + 3500)
    begun: list[int] = []

    def work(number: int) -> bytes:
        begun.append(number)
        return bytes(1000 - 64)

    in_flight, threads = InFlight(), ThreadPoolExecutor(1)
    for number in range(20):
        in_flight.submit(threads, number, work, number)
    threads.submit(int).result()
    assert begun == [0, 1, 2, 3]
    before = lookahead._held.bytes
    assert [place for place, _ in in_flight.take(leaving=0)] == list(range(20))
    assert sorted(begun) == list(range(20))
    assert lookahead._held.bytes == before - 4000
    threads.shutdown()


@pytest.mark.parametrize("cancelled", [True, False])
def test_what_waits_on_its_way_counts_until_it_is_done(monkeypatch: pytest.MonkeyPatch, cancelled: bool) -> None:
    before = lookahead._held.inputs, lookahead._held.bytes
    monkeypatch.setattr(lookahead, "BYTES_AT_ALL", sum(before) + 500)
    in_flight = InFlight()
    for number in range(10):
        in_flight.submit(pool(), number, bytes, 100, size=100)
    if cancelled:
        in_flight.cancel()
    else:
        assert [place for place, _ in in_flight.take(leaving=10**9)] == list(range(10))
    pool().submit(int).result()
    assert lookahead._held.inputs == before[0]
