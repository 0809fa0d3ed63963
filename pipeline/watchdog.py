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
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache

from pipeline.board import Board, Busy, make_file
from pipeline.ending import end_early
from pipeline.memory import ask_for
from pipeline.output.failures import is_suspect
from pipeline.output.tree import Tree
from pipeline.own_end import notice_first, witnesses
from pipeline.patience import DECODE_SECONDS, Patience, of_this_thread, queue_of
from pipeline.sentinel import NOTES_SECONDS, start_sentinel, within
from pipeline.watched_call import FIRST_CALL_SECONDS, Step, Watched, call_on
from transforms.budget import asking
from transforms.elements import EncodedImage, Image

TICK_SECONDS = 1.0
# Whoever waits for a step is told so often that it is still going on.
REMIND_SECONDS = 60.0

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Task:
    since: float
    deadline: float
    call: Watched
    patience: Patience | None
    place: int | None = None


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
    def watching(self, seconds: float, call: Watched, patience: Patience | None = None) -> Iterator[None]:
        """Within this context, which holds a call, the process ends after `seconds`, and once `patience` does."""
        task = _Task(self.now, self.now + seconds, call, patience)
        with self._lock:
            self._tasks.add(task)
            if not self._started:
                self._start()
        if self._board:
            task.place = self._board.put(Busy(task.deadline, pickle.dumps(call), threading.get_ident()))
        try:
            yield
        finally:
            with self._lock:
                self._tasks.discard(task)
            if self._board and task.place is not None:
                self._board.clear(task.place)

    def advance(self, seconds: float) -> None:
        """Moves the clock, and ends the process if something has taken too long."""
        before, self.now = self.now, self.now + min(seconds, 2 * TICK_SECONDS)
        with self._lock:
            tasks = list(self._tasks)
            late = [task for task in tasks if task.deadline < self.now and self._hangs(task)]
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

    def _hangs(self, task: _Task) -> bool:
        if task.patience is None or task.patience.is_over():
            return True
        task.deadline = self.now + task.patience.again
        if self._board and task.place is not None:
            self._board.put_off(task.place, task.deadline)
        return False

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
        call = call_on(self.tree, "decoder", [encoded])
        with ExitStack() as watched:
            watched.enter_context(_watching_decoder(call))

            def ask(count: int) -> None:
                # Waiting for memory is no hang.
                if not ask_for(count, wait=False):
                    watched.close()
                    ask_for(count)
                    watched.enter_context(_watching_decoder(call))

            with asking(ask):
                return self.decode(encoded)


def _watching_decoder(call: Watched) -> AbstractContextManager[None]:
    return watchdog().watching(
        DECODE_SECONDS, call, Patience(DECODE_SECONDS, of_this_thread(), queue_of(threading.get_native_id()))
    )
