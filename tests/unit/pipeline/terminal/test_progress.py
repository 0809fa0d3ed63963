"""The progress line, with a clock and a terminal of the test's own."""

import io
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from maskbeam.pipeline.options import ReadOptions
from maskbeam.pipeline.run import input_bytes
from maskbeam.pipeline.tally import Counts, Tally
from maskbeam.pipeline.terminal import progress
from maskbeam.pipeline.terminal.progress import Ticker, format_progress
from tests.support.trees import draw_folder


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ((0, 0, 0, 0, 0.0), "0 images, 0.00/s"),
        ((1, 0, 0, 0, 2.0), "1 image, 0.50/s"),
        ((0, 0, 100, 0, 60.0), "0 images, 0.00/s, 0.0%"),
        ((1234, 3, 1000, 250, 20.0), "1,234 images, 61.9/s, 25.0%, 1 min 0 s left, 3 failed"),
        ((5, 0, 1000, 250, 1.0), "5 images, 5.00/s, 25.0%"),
        ((10, 0, 1000, 1200, 5.0), "10 images, 2.00/s, 100.0%"),
    ],
)
def test_progress_line(arguments: tuple[int, int, int, int, float], line: str) -> None:
    assert format_progress(*arguments) == line


def test_what_is_read_ahead_is_not_done() -> None:
    read = Counts(done=14, failed=2, bytes=200 * 50, read=200)
    assert read.done_bytes == 16 * 50
    assert Counts(bytes=5).done_bytes == 0
    # Work that is replayed is counted twice.
    assert Counts(done=9, bytes=5, read=3).done_bytes == 5
    # Two images are read, and of one of them three quarters are done.
    assert Counts(bytes=80, read=2, parts=750_000).done_bytes == 30
    stream, tally, clock = io.StringIO(), Tally(), Clock()
    ticker = Ticker(stream, source=tally, clock=clock, total_bytes=233 * 50)
    tally.add(done=14, failed=2, bytes=200 * 50, read=200)
    clock.now += 10
    ticker.tick()
    assert stream.getvalue() == "14 images, 1.60/s, 6.9%, 2 min 16 s left, 2 failed\n"


def test_a_sample_has_no_share_of_all_input(tmp_path: Path) -> None:
    files = [path.stat().st_size for path in draw_folder(tmp_path / "in", 3).iterdir()]
    options = ReadOptions(patterns=(str(tmp_path / "in"),))
    assert input_bytes(options) == sum(files)
    assert input_bytes(replace(options, limit=2)) == 0


def test_images_found_done_are_told() -> None:
    assert format_progress(10, 0, 0, 0, 5.0, skipped=7) == "10 images, 2.00/s, 7 already done"


def test_runs_with_windows_tell_megapixels() -> None:
    assert format_progress(1, 0, 0, 0, 2.0, pixels=1_234_567_890) == "1 image, 1,234.6 megapixels, 0.50/s"
    stream, tally, clock = io.StringIO(), Tally(), Clock()
    ticker = Ticker(stream, source=tally, in_pixels=True, clock=clock)
    tally.add(pixels=16_000_000)
    clock.now += 2
    ticker.tick()
    assert stream.getvalue() == "0 images, 16.0 megapixels, 0.00/s\n"


def test_tally_loses_nothing_between_threads() -> None:
    tally = Tally()
    with ThreadPoolExecutor(8) as pool:
        for _ in range(8):
            pool.submit(lambda: [tally.add(done=1, failed=2, skipped=1, bytes=10) for _ in range(500)])
    assert tally.read() == Counts(4000, 8000, 4000, 40000)
    tally.reset()
    assert tally.read() == Counts()


def test_a_terminal_has_one_line_that_is_gone_at_the_end() -> None:
    stream, tally, clock = Terminal(), Tally(), Clock()
    ticker = Ticker(stream, source=tally, clock=clock)
    tally.add(done=1000)
    clock.now += 10
    ticker.tick()
    tally.reset()
    ticker.tick()
    ticker.stop()
    first, second = "1,000 images, 100/s", "0 images, 0.00/s"
    assert stream.getvalue() == f"\r{first}\r{second.ljust(len(first))}\r{' ' * len(second)}\r"


def test_a_line_fits_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "11")
    stream = Terminal()
    Ticker(stream, source=Tally()).tick()
    assert stream.getvalue() == "\r0 images, "


def test_elsewhere_there_are_plain_lines() -> None:
    stream, tally = io.StringIO(), Tally()
    ticker = Ticker(stream, source=tally, clock=Clock(), total_bytes=10)
    tally.add(done=1, bytes=5, read=1)
    ticker.tick()
    ticker.stop()
    assert stream.getvalue() == "1 image, 0.00/s, 50.0%\n"


def test_nothing_is_shown_after_the_end() -> None:
    stream = io.StringIO()
    ticker = Ticker(stream, source=Tally())
    ticker.stop()
    ticker.stop()
    ticker.tick()
    assert stream.getvalue() == ""


def test_it_ticks_by_itself_and_its_thread_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "LOG_SECONDS", 0.001)
    ticked = threading.Event()

    class Stream(io.StringIO):
        def flush(self) -> None:
            ticked.set()

    with Ticker(Stream(), source=Tally()):
        assert ticked.wait(30)
    assert "progress" not in [thread.name for thread in threading.enumerate()]


def test_a_terminal_that_is_gone_does_not_end_the_run() -> None:
    class Gone(Terminal):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    ticker = Ticker(Gone(), source=Tally())
    ticker.tick()
    ticker.stop()
