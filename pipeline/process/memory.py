"""The memory that there is, and the steps of one image that keep within it."""

import os
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from apache_beam.pvalue import TaggedOutput

from maskbeam.transforms.budget import Budget, asking
from maskbeam.transforms.elements import EncodedImage, Image, Labels, LogitsBatch, ModelInput, OfImage
from maskbeam.transforms.errors import Code, ImageError
from maskbeam.transforms.lookahead import bytes_ahead

_GROUPS = Path("/sys/fs/cgroup")
# What is smaller is not worth a look at what is left: there are only as many at once as there are threads.
SMALL_BYTES = 16 << 20
_LIMITS = ("memory.max", "memory/memory.limit_in_bytes")


def memory_bytes(groups: Path = _GROUPS, of_process: Path = Path("/proc/self/cgroup")) -> int:
    """The memory of this machine, or of the control group that this process lies in, whichever is less."""
    return min([os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), *_limits(groups, of_process)])


def _limits(groups: Path, of_process: Path) -> Iterator[int]:
    try:
        mine = [line.rpartition(":")[2].strip("/") for line in of_process.read_text().splitlines()]
    except OSError:
        mine = []
    folders = {groups / above for path in mine for above in (Path(path), *Path(path).parents)} | {groups}
    for folder in folders:
        for file in (folder / name for name in _LIMITS):
            try:
                text = file.read_text().strip()
            except OSError:
                continue
            if text.isdecimal():  # else "max": no limit
                yield int(text)


class Kept:
    """The bytes of large images, from decoding until they are gone: to be drawn on, or to be cut into windows."""

    def __init__(self) -> None:
        self.bytes = 0
        self._lock = threading.Lock()

    def add(self, decoded: Any) -> None:
        """Counts an image, or that which an input of the model keeps, if it is large, for as long as it is there."""
        image = decoded.pixels if isinstance(decoded, Image) else None
        image = decoded.image if isinstance(decoded, ModelInput) else image
        if image is not None and image.nbytes >= SMALL_BYTES:
            self._change(image.nbytes)
            weakref.finalize(image, self._change, -image.nbytes).atexit = False

    def _change(self, count: int) -> None:
        with self._lock:
            self.bytes += count


_kept = Kept()


def _elsewhere() -> int:
    # Large images may be counted in both.
    return max(bytes_ahead(), _kept.bytes)


# Made while this is imported: two threads that make theirs at once would not share it.
_BUDGET = Budget(memory_bytes() // 2, elsewhere=_elsewhere)


def decoding_budget() -> Budget:
    """The memory for images from reading to writing in this process: half of all; the rest is the model's."""
    return _BUDGET


def ask_for(count: int, *, wait: bool = True) -> bool:
    """True if this thread's task may use `count` bytes more, as in `Budget.take`; always outside of `WithinMemory`.

    Raises:
        ImageError: `OUT_OF_MEMORY`: there is not as much, for one image alone either.
    """
    if count > 2 * decoding_budget().total:
        have, needs = 2 * decoding_budget().total / 1e9, count / 1e9
        raise ImageError(Code.OUT_OF_MEMORY, f"it needs about {needs:.1f} GB to be decoded, and there are {have:.1f}")
    return decoding_budget().take(count, wait=wait)


def _wait_for(count: int) -> None:
    ask_for(count)


@dataclass(frozen=True)
class WithinMemory:
    """Steps of one image, run one after the other once there is memory for them: for the file, and for its pixels."""

    steps: tuple[Callable[[Any], Any], ...]

    def __call__(self, image: EncodedImage) -> Any:
        with decoding_budget().task(), asking(_wait_for):
            _wait_for(image.file_size)
            result: Any = image
            for step in self.steps:
                result = step(result)
            _kept.add(result)
            return result


@contextmanager
def asking_for_memory() -> Iterator[None]:
    """A context for a task of this thread that says, as it goes, how much memory it is about to use."""
    with decoding_budget().task(), asking(_wait_for):
        yield


@contextmanager
def at_work(count: int) -> Iterator[None]:
    """A context for a task of this thread that needs about `count` bytes; waits for them if they are many."""
    if count < SMALL_BYTES:
        yield
        return
    with decoding_budget().task(), asking(_wait_for):
        decoding_budget().take(count)
        yield


def _size_of(element: LogitsBatch | OfImage) -> tuple[int, int]:
    """The height and width of an image, or of the part of one that an element holds."""
    if isinstance(element, LogitsBatch):
        placement = element.images[0].placement
        return placement.height, placement.width
    return element.region.size if isinstance(element, Labels) else element.origin.size


@dataclass(frozen=True)
class WrittenWithinMemory:
    """Steps from what is known of one image's pixels to its files; those of a large one begin once there is memory.

    Attributes:
        steps: Run one after the other.
        each: Bytes that they take at their peak for one pixel of the image.
    """

    steps: tuple[Callable[[Any], Any], ...]
    each: int

    def __call__(self, element: LogitsBatch | OfImage) -> Any:
        with at_work(self.each * prod(_size_of(element))):
            return self._run(element)

    def _run(self, result: Any) -> Any:
        for step in self.steps:
            if isinstance(result, TaggedOutput):
                break
            result = step(result)
        return result
