"""The progress of a run: one line that redraws itself on a terminal, a log line now and then elsewhere.

Counts only, never an image's name. Counted are attempts in this process; results are the report's business.
"""

import contextlib
import shutil
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TextIO

from maskbeam.pipeline.tally import CountSource, tally
from maskbeam.pipeline.text.wording import duration, percent, plural, rate

REDRAW_SECONDS = 0.5
LOG_SECONDS = 10.0
# Rates of the first moments tell of start-up and not of the run.
_SETTLED_SECONDS = 3.0


def format_progress(
    done: int,
    failed: int,
    total_bytes: int,
    done_bytes: int,
    seconds: float,
    skipped: int = 0,
    pixels: int | None = None,
) -> str:
    """One line: images done, their megapixels, rate, share and time left by input bytes, and what failed.

    Args:
        done: Images that have a mask, those that were found done included.
        failed: Images that could not be done.
        total_bytes: Of all input; 0 when not known.
        done_bytes: Of the input that has come to its end so far; what is read ahead does not count.
        seconds: Since the first image could have been read.
        skipped: How many of `done` were found done.
        pixels: Those of images and blocks that are done; None where images are no larger than a window.
    """
    large = [] if pixels is None else [f"{pixels / 1e6:,.1f} megapixels"]
    parts = [plural(done, "image"), *large, rate(done + failed, seconds)]
    if total_bytes > 0:
        share = min(1.0, done_bytes / total_bytes)
        parts.append(percent(share))
        if 0 < share < 1 and seconds >= _SETTLED_SECONDS:
            parts.append(f"{duration(seconds * (1 - share) / share)} left")
    if skipped:
        parts.append(f"{skipped:,} already done")
    if failed:
        parts.append(f"{failed:,} failed")
    return ", ".join(parts)


class Ticker:
    """Shows counts on a stream from a thread of its own, as long as its `with` block and not a moment longer.

    Args:
        stream: Usually standard error.
        total_bytes: Of all input; 0 when not known.
        source: What to show.
        in_pixels: Whether megapixels are shown, too: where images are cut into windows.
        clock: Seconds, from any start.
    """

    def __init__(
        self,
        stream: TextIO,
        *,
        total_bytes: int = 0,
        source: CountSource = tally,
        in_pixels: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = stream
        self.total_bytes = total_bytes
        self._source = source
        self._in_pixels = in_pixels
        self._clock = clock
        self._start = clock()
        self._terminal = stream.isatty()
        self._drawn = 0
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)

    def __enter__(self) -> "Ticker":
        self._start = self._clock()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def tick(self) -> None:
        """Shows the state once; nothing after `stop`."""
        counts = self._source.read()
        seconds = self._clock() - self._start
        line = format_progress(
            counts.done,
            counts.failed,
            self.total_bytes,
            counts.done_bytes,
            seconds,
            skipped=counts.skipped,
            pixels=counts.pixels if self._in_pixels else None,
        )
        with self._lock:
            if not self._stopped.is_set():
                self._write(line)

    def stop(self) -> None:
        """Ends it and leaves a terminal's line empty; may be called twice."""
        with self._lock:
            if self._drawn:
                self._show("\r" + " " * self._drawn + "\r")
            self._drawn = 0
            self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(REDRAW_SECONDS if self._terminal else LOG_SECONDS):
            self.tick()

    def _write(self, line: str) -> None:
        if not self._terminal:
            self._show(line + "\n")
            return
        line = line[: shutil.get_terminal_size().columns - 1]
        self._show("\r" + line.ljust(self._drawn))
        self._drawn = len(line)

    def _show(self, text: str) -> None:
        # A terminal that is gone is no reason to end the run.
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text)
            self._stream.flush()
