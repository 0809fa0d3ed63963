"""Ends of a process: through its command, by a signal, or for a hang; never with an exit code that nobody chose.

Signals are answered on a thread of their own. A handler runs on the main thread: only when that comes back from the
C code that it is in, in the middle of whatever it holds (a lock on the output, a stream), and once more inside itself
when a second signal comes.
"""

import atexit
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import NamedTuple, NoReturn

from maskbeam.pipeline.exit_codes import ExitCode
from maskbeam.pipeline.process.streams import open_streams
from maskbeam.pipeline.process.temporary import remove_folders
from maskbeam.pipeline.text.wording import printable_lines

# What an early end may take: the terminal and the storage that it speaks to may hang, too.
END_SECONDS = 2.0
EXIT_CODES = {signal.SIGINT: ExitCode.INTERRUPTED, signal.SIGTERM: ExitCode.TERMINATED}


class _Stop(NamedTuple):
    clean_up: Callable[[], None]
    rest: str


_stops: list[_Stop] = []
_ending = threading.Lock()


@contextmanager
def stopping_on_signals(clean_up: Callable[[], None] = lambda: None, *, rest: str = "") -> Iterator[None]:
    """Within this context SIGINT and SIGTERM end the process at once, with exit code 130 or 143.

    Files are complete or absent at any moment, so there is nothing to wait for; an engine's threads could not be
    stopped anyway. Further signals change nothing.

    Args:
        clean_up: Called by this end and by `end_early`, for as long as they have time.
        rest: Tells the person at the terminal what a signal's end means.
    """
    outermost = not _stops
    before = _listen_to_signals() if outermost else None
    _stops.append(_Stop(clean_up, rest))
    try:
        yield
    finally:
        _stops.pop()
        if before is not None:
            _listen_no_more(*before)


def end_early(code: int, text: str = "", *, clean_up: bool = True) -> NoReturn:
    """Says why, cleans up, and ends the process, whatever hangs on the way.

    Without `clean_up` the output stays this run's for whoever notes what it was busy with.
    """
    _wait_if_ending()
    tidying = threading.Thread(target=_tidy, args=(text, clean_up), name="ending", daemon=True)
    # A system that gives no thread must not keep the process.
    with suppress(RuntimeError):
        tidying.start()
        tidying.join(END_SECONDS)
    os._exit(code)


def run_as_process(command: Callable[[], int]) -> NoReturn:
    """Runs a command that is all that this process is for, and ends the process with its exit code.

    What C libraries do at an exit is left out: it may hang or crash, and this process has no use for it.
    """
    open_streams()
    with stopping_on_signals():
        code = _exit_code(command)
        sys.stdout.flush()
        sys.stderr.flush()
        atexit._run_exitfuncs()
        _wait_if_ending()
        os._exit(code)


def _exit_code(command: Callable[[], int]) -> int:
    try:
        return command()
    except BaseException:
        traceback.print_exc()
        return ExitCode.FAILED


def _wait_if_ending() -> None:
    if not _ending.acquire(blocking=False):
        # Another thread is ending the process.
        threading.Event().wait()


def _tidy(text: str, clean_up: bool) -> None:
    # Nobody is left who could be told that one of these fails.
    with suppress(OSError, ValueError):
        if text:
            print(printable_lines(text), file=sys.stderr, flush=True)  # noqa: T201 - last words
    for stop in reversed(_stops if clean_up else []):
        with suppress(Exception):
            stop.clean_up()
    remove_folders()
    with suppress(OSError, ValueError):
        sys.stdout.flush()


Before = tuple[dict[signal.Signals, "signal._HANDLER"], int]


def _listen_to_signals() -> Before:
    wakeup = signal.set_wakeup_fd(_listener(), warn_on_full_buffer=False)
    return {number: signal.signal(number, lambda *_: None) for number in EXIT_CODES}, wakeup


def _listen_no_more(handlers: dict[signal.Signals, "signal._HANDLER"], wakeup: int) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)
    signal.set_wakeup_fd(wakeup)


@cache
def _listener() -> int:
    """A pipe into which the system writes the numbers of signals; a thread reads them."""
    numbers, written = os.pipe()
    os.set_blocking(written, False)
    threading.Thread(target=_listen, args=(numbers,), name="signals", daemon=True).start()
    return written


def _listen(numbers: int) -> None:
    while True:
        number = os.read(numbers, 1)[0]
        if number in EXIT_CODES and _stops:
            stopped(signal.Signals(number))


def stopped(number: signal.Signals) -> NoReturn:
    """Ends the process for a signal."""
    rest = next((f"; {stop.rest}" for stop in reversed(_stops) if stop.rest), "")
    end_early(EXIT_CODES[number], f"stopped by {number.name}{rest}")
