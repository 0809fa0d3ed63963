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
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cache

from maskbeam.pipeline.exit_codes import ExitCode
from maskbeam.pipeline.process.call_table import Busy, CallTable, make_file
from maskbeam.pipeline.process.ending import end_early
from maskbeam.pipeline.process.own_end import notice_first, witnesses
from maskbeam.pipeline.process.patience import Patience
from maskbeam.pipeline.process.sentinel import NOTES_SECONDS, start_sentinel, within
from maskbeam.pipeline.process.watched_step import FIRST_CALL_SECONDS, Step, Watched

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
    _board: CallTable | None = None
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
                self._board = CallTable(make_file())
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
    end_early(ExitCode.FAILED, what)


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
