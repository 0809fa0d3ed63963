"""Standard streams that cost a run nothing when nobody can read them: closed, full, or a pipe whose reader has gone.

What a run is for are its files, and its exit code says how it ended.
"""

import io
import os
import select
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

#: Held while number 2 is, for a moment, another stream than this process's own.
errors_lock = threading.Lock()


class _Tolerant(io.FileIO):
    """A file that takes whatever is written to it, also what the system does not take."""

    def write(self, data: Any, /) -> int:
        try:
            while (written := super().write(data)) is None:
                # Whoever has opened it set it not to wait.
                select.select([], [self], [])
        except OSError:
            return memoryview(data).nbytes
        return written


def open_streams() -> None:
    """Gives this process standard streams that never raise; called first, before anything else opens files."""
    _fill_gaps()
    sys.stdin = sys.stdin or io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)), encoding="utf-8")
    sys.stdout, sys.stderr = _tolerant(1, sys.stdout), _tolerant(2, sys.stderr)


@contextmanager
def errors_discarded() -> Iterator[None]:
    """Lets processes that are started meanwhile inherit an error stream that nobody reads."""
    with errors_lock:
        try:
            real = os.dup(2)
        except OSError:
            yield  # There is none.
            return
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 2)
        os.close(null)
        try:
            yield
        finally:
            os.dup2(real, 2)
            os.close(real)


def _fill_gaps() -> None:
    """Opens the null device for each standard stream that is closed: another file would get its number."""
    while (opened := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(opened, True)
    os.close(opened)


def _tolerant(number: int, given: TextIO | None) -> TextIO:
    # Over a copy: TensorFlow's start borrows the number, and what is said meanwhile must arrive.
    raw = _Tolerant(os.dup(number), "w")
    at_once = number == 2 or raw.isatty()
    encoding = given.encoding if given else "utf-8"
    # A name that the encoding does not hold is no reason to end a run, either.
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding=encoding, errors="backslashreplace", line_buffering=at_once
    )
