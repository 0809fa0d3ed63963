"""Counts of the work that the processes of a run have done so far."""

import threading
from typing import NamedTuple, Protocol

#: An image, in `Counts.parts`.
WHOLE = 1_000_000


class Counts(NamedTuple):
    """The work of a process so far; `bytes` of input and `read` images are those that it has begun to work on.

    `parts` is what is done of large images that are not done yet, in millionths of an image; `pixels` those of images
    that are done, and of blocks that are.
    """

    done: int = 0
    failed: int = 0
    skipped: int = 0
    bytes: int = 0
    read: int = 0
    parts: int = 0
    pixels: int = 0

    @property
    def done_bytes(self) -> int:
        """Of the input that has come to its end: as large a share of what was read as of the images."""
        ended = self.done + self.failed + self.parts / WHOLE
        return round(self.bytes * min(1.0, ended / self.read)) if self.read else 0


class CountSource(Protocol):
    """Whatever can be asked how far it is."""

    def read(self) -> Counts:
        """The sum so far."""


class Tally:
    """A thread-safe sum of `Counts`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = Counts()

    def add(
        self,
        *,
        done: int = 0,
        failed: int = 0,
        skipped: int = 0,
        bytes: int = 0,
        read: int = 0,
        parts: int = 0,
        pixels: int = 0,
    ) -> Counts:
        """Adds, and returns the sum so far; `skipped` are those of `done` that were found done."""
        added = (done, failed, skipped, bytes, read, parts, pixels)
        with self._lock:
            self._counts = Counts(*map(sum, zip(self._counts, added, strict=True)))
            return self._counts

    def read(self) -> Counts:
        """The sum so far."""
        return self._counts

    def reset(self) -> None:
        """Starts a new run in the same process."""
        with self._lock:
            self._counts = Counts()


#: This process's tally: the graph adds to it; the terminal reads it, or the sum of those of all workers.
tally = Tally()
