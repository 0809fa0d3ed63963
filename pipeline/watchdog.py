"""Ends a process in which a decoder or the model hangs: a thread cannot be stopped, and nobody would notice.

What hung is noted in the output first, so that the same command goes on without it. Of a batch nobody knows which
image it was: each of them is noted as a suspect and goes to the model alone next time.
"""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from pipeline.output.failures import SUSPECT, is_suspect, leave_note
from pipeline.output.tree import Tree
from transforms.elements import EncodedImage, Failure, Image, ModelInput, Source

# The largest image that is let in decodes in some ten seconds, and in a few times that where cores are shared.
DECODE_SECONDS = 120.0
# A first call may compile the model for its shape.
FIRST_CALL_SECONDS = 900.0
# Later calls get many times what the slowest one took, and never less than this.
CALL_SECONDS = 120.0
CALL_FACTOR = 20
TICK_SECONDS = 1.0
# How long notes may take when storage hangs, too.
NOTES_SECONDS = 30.0

_REASON = "the {} did not come to an end; the process was ended for it"
_log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Task:
    deadline: float
    on_hang: Callable[[], str]


@dataclass(eq=False)
class Watchdog:
    """Looks after calls that may hang.

    Its clock runs in steps of at most two ticks, so that a process that was stopped or a machine that slept does not
    look like a hang.

    Args:
        end: Ends the process; told what hung.
    """

    end: Callable[[str], None]
    now: float = 0.0
    _tasks: set[_Task] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _started: bool = False

    @contextmanager
    def watching(self, seconds: float, on_hang: Callable[[], str]) -> Iterator[None]:
        """Within this context the process ends after `seconds`; `on_hang` notes why, and says it in words."""
        task = _Task(self.now + seconds, on_hang)
        with self._lock:
            self._tasks.add(task)
            if not self._started:
                threading.Thread(target=self._run, name="watchdog", daemon=True).start()
                self._started = True
        try:
            yield
        finally:
            with self._lock:
                self._tasks.discard(task)

    def advance(self, seconds: float) -> None:
        """Moves the clock, and ends the process if something has taken too long."""
        self.now += min(seconds, 2 * TICK_SECONDS)
        with self._lock:
            late = [task for task in self._tasks if task.deadline < self.now]
        if late:
            self.end("; ".join(sorted({_within(NOTES_SECONDS, task.on_hang) for task in late})))

    def _run(self) -> None:
        before = time.monotonic()
        while True:
            time.sleep(TICK_SECONDS)
            self.advance(time.monotonic() - before)
            before = time.monotonic()


def _within(seconds: float, note: Callable[[], str]) -> str:
    said: list[str] = []
    thread = threading.Thread(target=lambda: said.append(note()), daemon=True)
    thread.start()
    thread.join(seconds)
    return said[0] if said else "something hangs, and so does the storage that should say what"


def _end_process(what: str) -> None:
    _log.critical("%s. The same command goes on without it.", what)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)


@cache
def watchdog() -> Watchdog:
    """This process's watchdog."""
    return Watchdog(_end_process)


@dataclass(frozen=True)
class WatchedDecoder:
    """A decoder that may take so long and no longer."""

    decode: Callable[[EncodedImage], Image]
    tree: Tree

    def __call__(self, encoded: EncodedImage) -> Image:
        with watchdog().watching(DECODE_SECONDS, lambda: self._note(encoded)):
            return self.decode(encoded)

    def _note(self, encoded: EncodedImage) -> str:
        _leave(self.tree, [encoded], "HANG", "decoder")
        return f"decoding an image hangs, noted as failed/{encoded.source.place}.json"


@dataclass(frozen=True)
class ModelGuard:
    """Looks after calls of the model; see `transforms.predict.Guard`."""

    tree: Tree

    def alone(self, image: ModelInput) -> bool:
        return is_suspect(self.tree, image.source)

    @contextmanager
    def calling(self, images: Sequence[ModelInput]) -> Iterator[None]:
        shape = images[0].plane.shape
        start = time.monotonic()
        with watchdog().watching(_pace.limit(shape), lambda: self._note(images)):
            yield
        _pace.took(shape, time.monotonic() - start)

    def _note(self, images: Sequence[ModelInput]) -> str:
        alone = len(images) == 1
        _leave(self.tree, images, "HANG" if alone else SUSPECT, "model")
        noted = f"noted as failed/{images[0].source.place}.json" if alone else "each is tried alone next time"
        return f"the model hangs on {len(images)} images, {noted}"


class _Pace:
    """How long calls of the model take in this process, by the shape of their planes."""

    def __init__(self) -> None:
        self._slowest: dict[tuple[int, ...], float] = {}

    def limit(self, shape: tuple[int, ...]) -> float:
        # What the first call took has compiled the model in it and says nothing of the others.
        slowest = self._slowest.get(shape)
        return FIRST_CALL_SECONDS if slowest is None else max(CALL_SECONDS, CALL_FACTOR * slowest)

    def took(self, shape: tuple[int, ...], seconds: float) -> None:
        self._slowest[shape] = max(self._slowest[shape], seconds) if shape in self._slowest else 0.0


_pace = _Pace()


def _leave(tree: Tree, images: Sequence[Any], code: str, what: str) -> None:
    for image in images:
        source: Source = image.source
        leave_note(tree, Failure(image.image_id, source, code, _REASON.format(what)))
