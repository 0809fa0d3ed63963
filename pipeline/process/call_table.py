"""The calls that a process is busy with, in memory that another process reads while this one cannot say anything."""

import faulthandler
import fcntl
import mmap
import os
import struct
import threading
from collections.abc import Iterator
from typing import NamedTuple

# More than there are threads that decode. Memory that nothing was written to is not taken.
SLOTS = 1024
# Room for the names of two batches of the largest size, the longest paths that there are included.
SLOT_BYTES = 256 << 10
_CLOCK = struct.Struct("<d")
_HEAD = struct.Struct("<dIQ")
_FIRST = mmap.PAGESIZE
_SIZE = _FIRST + SLOTS * SLOT_BYTES
# What is kept of a process's last moment: its cause, and the stacks of a hundred threads.
_LAST_BYTES = 1 << 20


class Busy(NamedTuple):
    """A call that is going on.

    Attributes:
        deadline: When it should have ended, by the board's clock.
        what: What is known of it.
        thread: In which thread of its process, by `threading.get_ident`.
    """

    deadline: float
    what: bytes
    thread: int = 0


class CallTable:
    """A clock, what is going on, and how it ended; memory shared through a file descriptor.

    Args:
        fd: Of a file that `make_file` made.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._memory = mmap.mmap(fd, _SIZE)
        self._free = [_FIRST + slot * SLOT_BYTES for slot in reversed(range(SLOTS))]

    @property
    def now(self) -> float:
        """The time by the clock, in seconds."""
        return float(_CLOCK.unpack_from(self._memory)[0])

    @now.setter
    def now(self, seconds: float) -> None:
        _CLOCK.pack_into(self._memory, 0, seconds)

    def put(self, busy: Busy) -> int | None:
        """Shows that a call begins; its place on the board, or None where there is no room for it."""
        if len(busy.what) > SLOT_BYTES - _HEAD.size:
            return None
        try:
            place = self._free.pop()
        except IndexError:
            return None
        start = place + _HEAD.size
        self._memory[start : start + len(busy.what)] = busy.what
        _HEAD.pack_into(self._memory, place, busy.deadline, len(busy.what), busy.thread)
        return place

    def put_off(self, place: int, deadline: float) -> None:
        """Shows that the call at a place may take longer."""
        _CLOCK.pack_into(self._memory, place, deadline)

    def clear(self, place: int) -> None:
        """Shows that the call at a place has ended."""
        _HEAD.pack_into(self._memory, place, 0, 0, 0)
        self._free.append(place)

    def busy(self) -> Iterator[Busy]:
        """The calls that are going on."""
        for place in range(_FIRST, _SIZE, SLOT_BYTES):
            deadline, length, thread = _HEAD.unpack_from(self._memory, place)
            if length:
                start = place + _HEAD.size
                yield Busy(deadline, self._memory[start : start + length], thread)

    def record_crash(self) -> None:
        """Has a signal that ends this process for a crash written behind the slots, by C code that needs no lock."""
        os.lseek(self.fd, 0, os.SEEK_END)
        faulthandler.enable(self.fd)

    def record_exit(self) -> None:
        """Records the same of a call of C's `exit`, in whose thread this is."""
        text = f"Fatal Python error: exit() was called\n\nCurrent thread 0x{threading.get_ident():016x}\n"
        os.write(self.fd, text.encode())

    @property
    def crash(self) -> str:
        """The record of a crash: the cause and the threads' stacks; empty without a crash."""
        return os.pread(self.fd, _LAST_BYTES, _SIZE).decode(errors="replace")


def make_file() -> int:
    """A file in memory for a board; its descriptor.

    Raises:
        OSError: The system gives none.
    """
    made = os.memfd_create("maskbeam")
    # Where a standard stream is closed it has got that number, which a child's own stream takes.
    fd = fcntl.fcntl(made, fcntl.F_DUPFD_CLOEXEC, 3)
    os.close(made)
    os.ftruncate(fd, _SIZE)
    return fd
