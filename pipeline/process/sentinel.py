"""Ends a process in which a call hangs that holds the interpreter's lock, so that its own watchdog cannot run.

A process of its own, which the watchdog starts: `python -m maskbeam.pipeline.process.sentinel FD PID TICK`. It reads
the board that both share, and goes on with the watchdog's clock where that stopped. When the process has crashed it
notes what it was busy with. It imports little until something hangs.
"""

import os
import pickle
import re
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from maskbeam.pipeline.process.call_table import Busy, CallTable
from maskbeam.transforms.errors import Code

# The call whose suspects are tried again apart.
DECODER = "decoder"
# How long notes may take when storage hangs, too.
NOTES_SECONDS = 30.0
# The watchdog comes first: it knows which call hangs, and ends the process with an exit code.
SILENT_TICKS = 10
NEXT_TIME = "each is tried alone next time. The same command goes on."


class Fault(NamedTuple):
    """A call that does not come back, and what is noted of it."""

    code: str
    verb: str
    reason: str


HANG = Fault(Code.HANG, "hangs", "the {} did not come to an end; the process was ended for it")
CRASH = Fault(Code.CRASH, "crashes", "the {} crashed, and its process with it")


@dataclass
class Silence:
    """For how long a watchdog has not moved its clock.

    Attributes:
        board: Where the clock is.
        tick: The time between two moves, in seconds.
        seen: What the clock showed.
        seconds: How long ago that was, while the process could have run.
    """

    board: CallTable
    tick: float
    seen: float = 0.0
    seconds: float = 0.0

    def advance(self, seconds: float, *, stopped: bool) -> bool:
        """Lets time pass, in steps of at most two ticks, and not while the process is `stopped`.

        Returns:
            Whether the process is stuck: it is silent, and a call in it should have ended.
        """
        now = self.board.now
        if now != self.seen:
            self.seen, self.seconds = now, 0.0
        elif not stopped:
            self.seconds += min(seconds, 2 * self.tick)
        if self.seconds <= SILENT_TICKS * self.tick:
            return False
        return any(busy.deadline < self.seen + self.seconds for busy in self.board.busy())


def start_sentinel(board: CallTable, tick: float) -> "subprocess.Popen[bytes]":
    """A sentinel over this process; it ends when its standard input is closed, by this process's end or before.

    Raises:
        OSError: The system starts no process.
    """
    # Workers may have found this package in places of their own.
    places = [str(Path(__file__).parents[3]), *sys.path]
    return subprocess.Popen(  # noqa: S603 - the interpreter that runs this
        [sys.executable, "-m", "maskbeam.pipeline.process.sentinel", str(board.fd), str(os.getpid()), str(tick)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(places)},
        pass_fds=(board.fd,),
        # What is typed at the terminal is the process's own to decide about.
        start_new_session=True,
    )


def within(seconds: float, note: Callable[[], str]) -> str:
    """The answer of `note`, if it comes in that time."""
    said: list[str] = []

    def say() -> None:
        try:
            said.append(note())
        except Exception as error:
            # Storage fails, or another run has begun.
            said.append(f"what was in work could not be noted ({type(error).__name__})")

    thread = threading.Thread(target=say, daemon=True)
    thread.start()
    thread.join(seconds)
    return said[0] if said else "something hangs, and so does the storage that should say what"


def watch(board: CallTable, parent: int, tick: float) -> None:
    """Watches over a process until it ends, or ends it."""
    silence, before = Silence(board, tick, board.now), time.monotonic()
    while not select.select([sys.stdin], [], [], tick)[0] and os.getppid() == parent:
        now = time.monotonic()
        if silence.advance(now - before, stopped=is_stopped(parent)):
            _tell(lambda: accuse(board))
            if os.getppid() == parent:
                # It may end by itself at this moment.
                with suppress(ProcessLookupError):
                    os.kill(parent, signal.SIGKILL)
            return
        before = now
    if crash := board.crash:
        _tell(lambda: blame(board, crash))


def is_stopped(pid: int) -> bool:
    """True if a process was stopped, as by Ctrl-Z or a debugger, or has ended."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] in b"Tt"
    except OSError:
        return True


def accuse(board: CallTable) -> str:
    """Notes what a stuck process is busy with, and says it in words.

    Nobody can tell who holds the lock, so all images are suspects: next time their decoders run in processes of their
    own. The model, or the reader of a scene, is accused when there is nothing else.
    """
    calls = _distinct(board.busy())
    if len(calls) == 1 and calls[0].what != DECODER:
        return str(calls[0].note())
    images = sum(call.suspect() for call in calls)
    return f"a call hangs and lets nothing else run, images in work: {images}; {NEXT_TIME}"


def blame(board: CallTable, crash: str) -> str:
    """Notes what a process was busy with that has crashed, and says it in words.

    Args:
        board: Its board.
        crash: What it recorded of its last moment: the signal, and the stacks of its threads.

    The call whose thread crashed is known, unless it was a thread of a library; then all are suspects as above.
    """
    busy, thread = list(board.busy()), re.search(r"^Current thread 0x([0-9a-f]+)", crash, re.MULTILINE)
    known = [one for one in busy if thread and one.thread == int(thread[1], 16)]
    calls = _distinct(known or busy)
    cause = re.match(r"Fatal Python error: (.*)", crash)
    crashed = f"the process crashed ({cause[1] if cause else 'of unknown cause'})"
    if len(calls) == 1 and calls[0].what != DECODER:
        return f"{crashed}: {calls[0].note(CRASH)}"
    images = sum(call.suspect() for call in calls)
    return f"{crashed}, images in work: {images}; {NEXT_TIME}"


def _distinct(calls: Iterable[Busy]) -> list[Any]:
    """Calls, those on one image as one: a scene is read by many threads."""
    return list(dict.fromkeys(pickle.loads(each.what) for each in calls))  # noqa: S301 - written by the watchdog


def _tell(find_out: Callable[[], str]) -> None:
    # A standard error that nobody reads must not keep the process.
    within(NOTES_SECONDS + 1, lambda: _say(within(NOTES_SECONDS, find_out)))


def _say(what: str) -> str:
    # Where standard error is closed nobody wants to hear it.
    with suppress(OSError):
        os.write(2, f"maskbeam: {what}\n".encode())
    return what


if __name__ == "__main__":
    watch(CallTable(int(sys.argv[1])), int(sys.argv[2]), float(sys.argv[3]))
