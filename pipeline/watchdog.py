"""Ends a process in which a decoder or the model hangs: a thread cannot be stopped, and nobody would notice.

What hung is noted in the output first, so that the same command goes on without it. Of a batch nobody knows which
image it was: each of them is noted as a suspect, is decoded apart and goes to the model alone next time.

The watchdog is a thread. What hangs and holds the interpreter's lock stops it, too; its sentinel then ends the
process. What crashes takes the watchdog with it; its sentinel then leaves the notes.
"""

import logging
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from math import prod
from typing import Protocol

from pipeline.board import Board, Busy, make_file
from pipeline.ending import end_early
from pipeline.memory import ask_for
from pipeline.output.failures import SUSPECT, is_suspect, leave_note
from pipeline.output.tree import Tree
from pipeline.own_end import notice_first, witnesses
from pipeline.reports.wording import duration
from pipeline.sentinel import HANG, NEXT_TIME, NOTES_SECONDS, Fault, start_sentinel, within
from transforms.budget import asking
from transforms.elements import EncodedImage, Failure, Image, ModelInput, Source

# The largest image that is let in decodes in some ten seconds, and in a few times that where cores are shared.
DECODE_SECONDS = 120.0
# A first call may compile the model for its shape; so long may each step take, too, before there are images.
FIRST_CALL_SECONDS = 900.0
# Later calls get many times what the slowest one took, and never less than this.
CALL_SECONDS = 120.0
CALL_FACTOR = 20
TICK_SECONDS = 1.0
# Whoever waits for a step is told so often that it is still going on.
REMIND_SECONDS = 60.0

_log = logging.getLogger(__name__)


class Watched(Protocol):
    """A call that is watched; it can be pickled."""

    @property
    def what(self) -> str:
        """`decoder` or `model`."""

    def note(self, fault: Fault = HANG) -> str:
        """Notes that the call does not come back, and says it in words."""

    def suspect(self) -> int:
        """Notes each image as a suspect; their number."""

    def remind(self, seconds: float) -> str:
        """What a person is told who waits for it since so many seconds; empty for nothing."""


@dataclass(frozen=True)
class Call:
    """A call on images.

    Attributes:
        tree: Where to note that it does not come back.
        what: `decoder` or `model`.
        sources: The images, by id.
    """

    tree: Tree
    what: str
    sources: tuple[tuple[str, Source], ...]

    def note(self, fault: Fault = HANG) -> str:
        doing = f"the {self.what} {fault.verb} on"
        if len(self.sources) > 1:
            return f"{doing} {self.suspect()} images; {NEXT_TIME}"
        self._leave(fault.code, fault)
        noted = f"noted as failed/{self.sources[0][1].place}.json"
        return f"{doing} an image, {noted}. The same command goes on without it."

    def suspect(self) -> int:
        self._leave(SUSPECT)
        return len(self.sources)

    def remind(self, seconds: float) -> str:
        return ""

    def _leave(self, code: str, fault: Fault = HANG) -> None:
        for image_id, source in self.sources:
            leave_note(self.tree, Failure(image_id, source, code, fault.reason.format(self.what)))


@dataclass(frozen=True)
class Step:
    """What is done with the model before there are images.

    Attributes:
        doing: Such as `loaded`.
    """

    doing: str
    what: str = "model"

    def note(self, fault: Fault = HANG) -> str:
        limit = f" for over {duration(FIRST_CALL_SECONDS)}" if fault is HANG else ""
        return f"the model {fault.verb}{limit} while it is {self.doing}, so no image was done; look at the model"

    def suspect(self) -> int:
        return 0

    def remind(self, seconds: float) -> str:
        limit = duration(FIRST_CALL_SECONDS)
        return f"the model is still being {self.doing}, for {duration(seconds)}; after {limit} it is given up"


@dataclass(eq=False)
class _Task:
    since: float
    deadline: float
    call: Watched


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
    _board: Board | None = None
    _sentinel: "subprocess.Popen[bytes] | None" = None

    @contextmanager
    def watching(self, seconds: float, call: Watched) -> Iterator[None]:
        """Within this context, which holds a call, the process ends after `seconds`."""
        task = _Task(self.now, self.now + seconds, call)
        with self._lock:
            self._tasks.add(task)
            if not self._started:
                self._start()
        board = self._board
        place = board.put(Busy(task.deadline, pickle.dumps(call), threading.get_ident())) if board else None
        try:
            yield
        finally:
            if board and place is not None:
                board.clear(place)
            with self._lock:
                self._tasks.discard(task)

    def advance(self, seconds: float) -> None:
        """Moves the clock, and ends the process if something has taken too long."""
        before, self.now = self.now, self.now + min(seconds, 2 * TICK_SECONDS)
        with self._lock:
            tasks = list(self._tasks)
        late = [task for task in tasks if task.deadline < self.now]
        if late:
            if self._sentinel and self._sentinel.stdin:
                # Notes may take longer than it waits.
                self._sentinel.stdin.close()
            self.end(
                "\n".join(
                    f"maskbeam: {text}" for text in sorted({within(NOTES_SECONDS, task.call.note) for task in late})
                )
            )
        for task in tasks:
            minutes = (self.now - task.since) // REMIND_SECONDS
            if minutes > (before - task.since) // REMIND_SECONDS and (
                text := task.call.remind(self.now - task.since)
            ):
                _log.warning("%s", text)

    def _start(self) -> None:
        if sys.platform == "linux":
            try:
                self._board = Board(make_file())
                self._board.record_crash()
                witnesses.append(self._board.record_exit)
                self._sentinel = start_sentinel(self._board, TICK_SECONDS)
            except OSError as error:
                _log.warning("a decoder that hangs and lets nothing else run would not be noticed: %s", error)
        threading.Thread(target=self._run, name="watchdog", daemon=True).start()
        self._started = True

    def _run(self) -> None:
        before = time.monotonic()
        while True:
            time.sleep(TICK_SECONDS)
            self.advance(time.monotonic() - before)
            if self._board:
                self._board.now = self.now
            before = time.monotonic()


def _end_process(what: str) -> None:
    end_early(1, what)


@cache
def watchdog() -> Watchdog:
    """This process's watchdog."""
    return Watchdog(_end_process)


def step(doing: str) -> AbstractContextManager[None]:
    """A context for a step without images: it ends the process when the model hangs in it.

    Args:
        doing: What is done with the model, such as `loaded`.
    """
    # By now the libraries that the step needs are loaded.
    notice_first()
    return watchdog().watching(FIRST_CALL_SECONDS, Step(doing))


@dataclass(frozen=True)
class WatchedDecoder:
    """A decoder that may take so long and no longer.

    Attributes:
        decode: The decoder.
        tree: Where to note that it hangs.
        apart: The same in another process, for images that may have made this one hang.
    """

    decode: Callable[[EncodedImage], Image]
    tree: Tree
    apart: Callable[[EncodedImage], Image]

    def __call__(self, encoded: EncodedImage) -> Image:
        if is_suspect(self.tree, encoded.source):
            return self.apart(encoded)
        call = _call(self.tree, "decoder", [encoded])
        with ExitStack() as watched:
            watched.enter_context(watchdog().watching(DECODE_SECONDS, call))

            def ask(count: int) -> None:
                # Waiting for memory is no hang.
                if not ask_for(count, wait=False):
                    watched.close()
                    ask_for(count)
                    watched.enter_context(watchdog().watching(DECODE_SECONDS, call))

            with asking(ask):
                return self.decode(encoded)


@dataclass(frozen=True)
class ModelGuard:
    """Looks after calls of the model; see `transforms.predict.Guard`."""

    tree: Tree

    def alone(self, image: ModelInput) -> bool:
        return is_suspect(self.tree, image.source)

    @contextmanager
    def calling(self, images: Sequence[ModelInput]) -> Iterator[None]:
        shape = images[0].plane.shape
        with _turns.taken(alone=len(images) == 1 and self.alone(images[0])):
            start = time.monotonic()
            with watchdog().watching(_pace.limit(shape), _call(self.tree, "model", images)):
                yield
            _pace.took(shape, time.monotonic() - start)


class _Turns:
    """Calls of the model side by side; a suspect has it to itself, so that it is known who makes it crash."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._going = 0
        self._alone = False

    @contextmanager
    def taken(self, *, alone: bool) -> Iterator[None]:
        """A context for a call; waits until it may begin."""
        with self._changed:
            self._changed.wait_for(lambda: not (self._going if alone else self._alone))
            self._going += 1
            self._alone = alone
        try:
            yield
        finally:
            with self._changed:
                self._going -= 1
                self._alone = False
                self._changed.notify_all()


_turns = _Turns()


class _Pace:
    """How long calls of the model take in this process, by the shape `(h, w, C)` of their planes."""

    def __init__(self) -> None:
        self._slowest: dict[tuple[int, ...], float] = {}
        self._slowest_first: tuple[float, int] | None = None

    def limit(self, shape: tuple[int, ...]) -> float:
        # What the first call took has compiled the model in it and says nothing of the others.
        slowest = self._slowest.get(shape)
        if slowest is not None:
            return max(CALL_SECONDS, CALL_FACTOR * slowest)
        if self._slowest_first is None:
            return FIRST_CALL_SECONDS
        # Attention takes the square of its pixels.
        seconds, pixels = self._slowest_first
        return max(CALL_SECONDS, CALL_FACTOR * seconds * max(1.0, prod(shape) / pixels) ** 2)

    def took(self, shape: tuple[int, ...], seconds: float) -> None:
        if shape in self._slowest:
            self._slowest[shape] = max(self._slowest[shape], seconds)
            return
        self._slowest[shape] = 0.0
        if self._slowest_first is None or seconds > self._slowest_first[0]:
            self._slowest_first = (seconds, prod(shape))


_pace = _Pace()


def _call(tree: Tree, what: str, images: Sequence[EncodedImage | ModelInput]) -> Call:
    return Call(tree, what, tuple((image.image_id, image.source) for image in images))
