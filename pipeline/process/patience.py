"""When a decoder hangs: told from one that is only slow because others use the cores, by its processor time."""

import math
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

# The largest image that is let in decodes in some ten seconds of a core.
DECODE_SECONDS = 120.0
# What comes on runs for at least this share of the time that it does not wait for a core; what hangs, for less.
_LEAST_SHARE = 0.05
_AGAIN = 0.1

Cpu = Callable[[], float | None]


class Patience:
    """The time that a call may take: so many seconds, and as many of a core if it comes on slowly.

    Args:
        seconds: The limit.
        cpu: Processor time that the call has had, in seconds from any start; None where the system does not tell.
        queued: How long it was ready to run while no core was free for it, told in the same way; first looked at
            when the limit has passed, which then tells only whether it has used up its time.

    Attributes:
        again: Seconds until `is_over` is to be asked again.
    """

    def __init__(self, seconds: float, cpu: Cpu, queued: Cpu = lambda: None) -> None:
        self.again = _AGAIN * seconds
        self._seconds, self._cpu, self._queued = seconds, cpu, queued
        self._begun = self._seen = cpu()
        self._waited: float | None = None
        self._asked = False

    def is_over(self) -> bool:
        """True if it hangs; asked when the limit has passed, and every `again` seconds from then on."""
        passed = self.again if self._asked else self._seconds
        usable = passed - self._wait_since()
        before, self._seen, self._asked = self._seen, self._cpu(), True
        if self._seen is None or before is None or self._begun is None:
            return True
        return self._seen - before < _LEAST_SHARE * usable or self._seen - self._begun >= self._seconds

    def _wait_since(self) -> float:
        before, self._waited = self._waited, self._queued()
        if self._waited is None:
            return 0.0
        return math.inf if before is None else self._waited - before


def of_this_thread() -> Cpu:
    """Processor time of the thread that calls this; others may ask for it."""
    if not hasattr(time, "pthread_getcpuclockid"):
        return lambda: None
    clock = time.pthread_getcpuclockid(threading.get_ident())

    def seconds() -> float | None:
        # The thread may have ended.
        with suppress(OSError):
            return time.clock_gettime(clock)
        return None

    return seconds


def queue_of(thread: int) -> Cpu:
    """The time that a thread has waited for a free core, ready to run; a process's main thread has its number."""

    def seconds() -> float | None:
        with suppress(OSError, ValueError, IndexError):
            return int(Path(f"/proc/{thread}/schedstat").read_bytes().split()[1]) / 1e9
        return None

    return seconds


def of_process(pid: int) -> Cpu:
    """Processor time of another process, all of its threads."""

    def seconds() -> float | None:
        with suppress(OSError, ValueError, IndexError):
            fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return None

    return seconds
