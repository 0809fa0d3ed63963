import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import numpy as np
import pytest

from maskbeam.pipeline.guards import model_guard, watched_decoder
from maskbeam.pipeline.guards.model_guard import ModelGuard
from maskbeam.pipeline.guards.watched_decoder import WatchedDecoder
from maskbeam.pipeline.models.engines.batched_engine import warm_up
from maskbeam.pipeline.models.loading.loaded_model import load, open_model
from maskbeam.pipeline.models.probing.fed_model import FedModel
from maskbeam.pipeline.options import ModelOptions
from maskbeam.pipeline.output.failures import leave_note, recall_failure
from maskbeam.pipeline.output.tree import Tree
from maskbeam.pipeline.process import watchdog
from maskbeam.pipeline.process.call_table import CallTable, make_file
from maskbeam.pipeline.process.patience import DECODE_SECONDS, Cpu, Patience, of_process, of_this_thread, queue_of
from maskbeam.pipeline.process.sentinel import HANG, Fault
from maskbeam.pipeline.process.watchdog import Watchdog
from maskbeam.pipeline.process.watched_step import FIRST_CALL_SECONDS, Step
from maskbeam.transforms.elements import EncodedImage, Failure, Image, ModelInput, Placement, Source
from maskbeam.transforms.errors import RunError
from maskbeam.transforms.normalize import Normalization
from tests.support import numpy_engine
from tests.support.elements import decoded_image, encoded_image, made_input
from tests.support.numpy_engine import command, run_numpy
from tests.support.trees import differing, draw_folder, pixels, save, tree_of


def tree(tmp_path: Path, run: str = "r") -> Tree:
    return Tree(str(tmp_path), str(tmp_path / ".tmp" / run), "masks/{}.png", "f", "i")


def model_input(name: str) -> ModelInput:
    return made_input(name, Source(f"/in/{name}", "1"), Placement(1, 1, 1, 1, 0, 0, 1, 1), np.zeros((1, 1, 3)))


@pytest.fixture
def dog(monkeypatch: pytest.MonkeyPatch) -> Watchdog:
    """A watchdog whose clock the test moves, and that says what it would have ended the process for."""
    said: list[str] = []
    made = Watchdog(said.append)
    made._started = True
    monkeypatch.setattr(made, "said", said, raising=False)
    for module in (watchdog, watched_decoder, model_guard):
        monkeypatch.setattr(module, "watchdog", lambda: made)
    monkeypatch.setattr(model_guard, "_pace", model_guard._Pace())
    return made


def said(dog: Watchdog) -> list[str]:
    return dog.said  # type: ignore[attr-defined, no-any-return]


LATE = Step("tested")


def pass_time(dog: Watchdog, seconds: float) -> None:
    for _ in range(int(seconds / 2)):
        dog.advance(2)


def decoded(image: EncodedImage) -> Image:
    return decoded_image(image.image_id, image.source, pixels(image.image_id))


def notes(tmp_path: Path) -> list[str]:
    return sorted(json.loads(path.read_text())["code"] for path in (tmp_path / "failed").glob("*"))


def test_what_ends_in_time_is_left_alone(dog: Watchdog) -> None:
    with dog.watching(10, LATE):
        pass_time(dog, 9)
    pass_time(dog, 100)
    assert said(dog) == []


def test_a_process_that_slept_has_not_hung(dog: Watchdog) -> None:
    with dog.watching(10, LATE):
        dog.advance(3600)
    assert said(dog) == []


def test_a_decoder_that_hangs_leaves_a_note_and_ends_the_process(dog: Watchdog, tmp_path: Path) -> None:
    image = encoded_image("patient-7", Source("/in/patient-7.png", "1"), b"")

    def hang(_: EncodedImage) -> None:
        # Once more, to see whether it waits for a core.
        pass_time(dog, 1.1 * DECODE_SECONDS + 4)

    WatchedDecoder(hang, tree(tmp_path), apart=decoded)(image)  # type: ignore[arg-type]
    assert notes(tmp_path) == ["HANG"]
    assert len(said(dog)) > 0
    assert not [line for line in said(dog) if "patient" in line]
    recalled = recall_failure(tree(tmp_path, "next"), image)
    assert recalled is not None
    assert recalled.code == "HANG"


@pytest.mark.parametrize(
    ("share", "ends"),
    [(0.0, 1), (0.04, 1), (1.0, 1), (0.5, 11), (0.1, 91)],
)
def test_a_slow_decoder_has_as_long_of_a_core_as_a_fast_one(share: float, ends: int) -> None:
    """Asked at 120 s and every 12 s from then on: at which time it is over."""
    wall = [0.0]
    patience = Patience(120, lambda: share * wall[0])
    for asked in range(1, ends + 1):
        wall[0] = 120.0 + 12 * (asked - 1)
        assert patience.is_over() == (asked == ends)
    assert patience.again == 12


def test_one_that_comes_on_and_then_stops_is_over() -> None:
    used = [0.0]
    patience = Patience(120, lambda: used[0])
    used[0] = 60.0
    assert not patience.is_over()
    assert patience.is_over()


@pytest.mark.parametrize(("cpu", "queued", "asked"), [(0.01, 0.99, 10), (0.01, 0.5, 2), (0.0, 0.0, 2), (1.0, 0.0, 1)])
def test_one_that_waits_for_a_core_nearly_all_the_time_is_not_over(cpu: float, queued: float, asked: int) -> None:
    wall = [0.0]
    patience, answers = Patience(120, lambda: cpu * wall[0], lambda: queued * wall[0]), list[bool]()
    while not any(answers) and len(answers) < 10:
        wall[0] += 12.0 if answers else 120.0
        answers.append(patience.is_over())
    assert len(answers) == asked
    assert answers[-1] == (asked < 10)


def test_the_queue_for_a_core_is_the_system_s() -> None:
    there = Path("/proc/self/schedstat").exists()
    assert (queue_of(threading.get_native_id())() is not None) == there
    assert queue_of(1 << 30)() is None


@pytest.mark.parametrize("cpu", [lambda: None, of_process(0), of_process(1 << 30)])
def test_without_a_clock_of_its_own_the_time_of_day_decides(cpu: Cpu) -> None:
    assert Patience(120, cpu).is_over()


def test_processor_time_is_that_of_who_works() -> None:
    mine, process, idle = of_this_thread(), of_process(os.getpid()), threading.Event()
    others: list[Cpu] = []

    def wait() -> None:
        others.append(of_this_thread())
        idle.wait()

    other = threading.Thread(target=wait)
    other.start()
    before = mine(), process()
    while (mine() or 0) - (before[0] or 0) < 0.05:
        sum(range(10_000))
    assert (process() or 0) - (before[1] or 0) >= 0.03
    assert (others[0]() or 0) < 0.05
    idle.set()
    other.join()


def test_a_call_that_comes_on_is_put_off_and_its_sentinel_told(dog: Watchdog) -> None:
    board = dog._board = CallTable(make_file())
    dog._started = True
    wall = [0.0]
    with dog.watching(10, LATE, Patience(10, lambda: 0.5 * wall[0])):
        for _ in range(10):
            wall[0] += 1.5
            dog.advance(1.5)
        assert said(dog) == []
        assert [busy.deadline > dog.now for busy in board.busy()] == [True]
        wall[0] = 30.0
        pass_time(dog, 4)
        assert said(dog) != []


def test_a_batch_that_hangs_makes_suspects_that_are_tried_alone(dog: Watchdog, tmp_path: Path) -> None:
    images = [model_input(name) for name in "abc"]
    with ModelGuard(tree(tmp_path)).calling(images):
        pass_time(dog, FIRST_CALL_SECONDS + 4)
    assert notes(tmp_path) == ["SUSPECT"] * 3
    guard = ModelGuard(tree(tmp_path, "next"))
    assert [guard.alone(image) for image in [*images, model_input("d")]] == [True, True, True, False]
    assert recall_failure(tree(tmp_path, "next"), encoded_image("a", images[0].source)) is None
    with guard.calling(images[:1]):
        pass_time(dog, FIRST_CALL_SECONDS + 4)
    assert notes(tmp_path) == ["HANG", "SUSPECT", "SUSPECT"]


@pytest.mark.parametrize(("first", "second"), [(True, True), (True, False), (False, True), (False, False)])
def test_a_suspect_has_the_model_to_itself(first: bool, second: bool) -> None:
    turns, begun, waits = model_guard._Turns(), threading.Event(), threading.Event()

    class Condition(threading.Condition):
        def wait(self, timeout: float | None = None) -> bool:
            waits.set()
            begun.set()
            return super().wait(timeout)

    turns._changed = Condition()

    def call() -> None:
        with turns.taken(alone=second):
            begun.set()

    with turns.taken(alone=first):
        other = threading.Thread(target=call)
        other.start()
        assert begun.wait(30)
    other.join(30)
    assert not other.is_alive()
    assert waits.is_set() == (first or second)


def test_the_limit_of_a_call_follows_from_the_slowest_warm_one() -> None:
    pace, shape = model_guard._Pace(), (4, 4, 3)
    assert pace.limit(shape) == FIRST_CALL_SECONDS
    pace.took(shape, 500)
    assert pace.limit(shape) == model_guard.CALL_SECONDS
    # Another shape is compiled anew, and may take longer than the first one did.
    assert pace.limit((2, 2, 3)) == model_guard.CALL_FACTOR * 500
    assert pace.limit((8, 8, 3)) == model_guard.CALL_FACTOR * 500 * 16
    for seconds in (1, 30, 2):
        pace.took(shape, seconds)
    assert pace.limit(shape) == model_guard.CALL_FACTOR * 30
    pace.took((8, 8, 3), 7)
    assert pace.limit((4, 4, 4)) == model_guard.CALL_FACTOR * 500 * (64 / 48) ** 2


def test_a_first_call_that_was_quick_does_not_keep_a_hang_for_a_quarter_of_an_hour() -> None:
    pace = model_guard._Pace()
    pace.took((4, 4, 3), 2)
    assert pace.limit((4, 5, 3)) == model_guard.CALL_SECONDS


def test_whoever_waits_for_a_step_is_told_each_minute_and_it_ends(
    dog: Watchdog, caplog: pytest.LogCaptureFixture
) -> None:
    with dog.watching(FIRST_CALL_SECONDS, Step("tried out")):
        pass_time(dog, 200)
        assert caplog.messages == [
            f"the model is still being tried out, for {minutes} min 0 s; after 15 min 0 s it is given up"
            for minutes in (1, 2, 3)
        ]
        assert said(dog) == []
        pass_time(dog, FIRST_CALL_SECONDS)
    assert said(dog)[0].startswith("maskbeam: the model hangs for over 15 min 0 s while it is tried out")


def test_notes_that_hang_too_do_not_stop_the_end(dog: Watchdog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "NOTES_SECONDS", 0.01)
    release = threading.Event()

    class Hangs(Step):
        def note(self, fault: Fault = HANG) -> str:
            release.wait(30)
            return "never"

    with dog.watching(1, Hangs("tested")):
        dog.advance(2)
    release.set()
    assert "so does the storage" in said(dog)[0]


def test_notes_that_fail_do_not_stop_the_end(dog: Watchdog) -> None:
    class Fails(Step):
        def note(self, fault: Fault = HANG) -> str:
            raise RunError("another run has taken this output over")

    with dog.watching(1, Fails("tested")):
        dog.advance(2)
    assert said(dog) == ["maskbeam: what was in work could not be noted (RunError)"]


def test_a_note_is_written_once_and_again_when_it_says_something_else(tmp_path: Path) -> None:
    source = Source("/in/a.png", "1")
    leave_note(tree(tmp_path), Failure("a", source, "SUSPECT", "why"))
    leave_note(tree(tmp_path, "2"), Failure("a", source, "HANG", "why"))
    assert notes(tmp_path) == ["HANG"]
    (path,) = (tmp_path / "failed").iterdir()
    before = path.stat().st_mtime_ns
    leave_note(tree(tmp_path, "3"), Failure("a", source, "HANG", "why"))
    assert path.stat().st_mtime_ns == before


@pytest.fixture
def watched(dog: Watchdog) -> Callable[..., Any]:
    """Ends whatever calls it with what the watchdog looks after at that moment."""

    def end(*_: object, **__: object) -> NoReturn:
        raise RunError("; ".join(task.call.note() for task in dog._tasks))

    return end


def test_all_that_is_done_with_a_model_before_there_are_images_is_watched(
    watched: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    tensorflow = SimpleNamespace(constant=lambda batch: batch)
    for module in ("probing.fed_model", "loading.loaded_model"):
        monkeypatch.setattr(f"maskbeam.pipeline.models.{module}.start_tensorflow", lambda **_: tensorflow)
    monkeypatch.setattr("maskbeam.pipeline.models.loading.loaded_model.load_keras", watched)
    options = ModelOptions(numpy_engine.MODEL)
    with pytest.raises(RunError, match="while it is loaded"):
        load(open_model(options), options)
    loaded = SimpleNamespace(call=watched, inputs=[SimpleNamespace(dtype="float32")])
    facts = SimpleNamespace(batch=None, channels_first=False)
    with pytest.raises(RunError, match="while it is tried out"):
        FedModel(loaded, facts, Normalization())(np.zeros((1, 4, 4, 3), np.float32))  # type: ignore[arg-type]
    with pytest.raises(RunError, match="while it is started"):
        warm_up(watched, numpy_engine.numpy_probe(options, open_model(options)))  # type: ignore[arg-type]


HURRIED = """
import sys
import threading
from maskbeam.pipeline.guards import model_guard; from maskbeam.pipeline.process import watchdog
from maskbeam.pipeline.models.engines.batched_engine import warm_up
from maskbeam.pipeline.models.loading.loaded_model import load, open_model
from maskbeam.pipeline.models.probing.fed_model import FedModel
from maskbeam.pipeline.options import ModelOptions
model_guard.CALL_SECONDS = model_guard.FIRST_CALL_SECONDS = watchdog.FIRST_CALL_SECONDS = 1.0
watchdog.TICK_SECONDS = 0.2
from tests.support.numpy_engine import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_a_model_that_hangs_on_one_image_costs_two_reruns_and_that_image(tmp_path: Path) -> None:
    inputs = draw_folder(tmp_path / "in", 5)
    poison = pixels("hangs")
    poison[0, 0] = numpy_engine.HANGS
    save(inputs / "img0002b.png", poison)
    argv = command(str(inputs), str(tmp_path / "out"), "--max_failures", "1")
    for code in (1, 1, 0):
        done = subprocess.run(
            [sys.executable, "-c", HURRIED, *argv], capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == code, done.stderr
        assert "img" not in done.stderr
    failures = (tmp_path / "out/reports/failures.jsonl").read_text().splitlines()
    assert [json.loads(line)["code"] for line in failures] == ["HANG"]
    assert notes(tmp_path / "out") == ["HANG"]
    (inputs / "img0002b.png").unlink()
    assert run_numpy(command(str(inputs), str(tmp_path / "without"))) == 0
    found = differing(tree_of(tmp_path / "out/masks"), tree_of(tmp_path / "without/masks"))
    assert found == []
