"""Memory that is shared by the threads of a process: who needs more than is left waits until others are done.

A task asks, as it goes, for what it is about to use, and gives all of it back at its end. One that asks for more than
there is gets it once no other task is at work: it runs alone. Tasks that wait with something in their hands are not
at work, so that no two of them wait for each other. Who asked first is served first, so that many small ones do not
keep a large one waiting for ever.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_asked = threading.local()


def admit(count: int) -> None:
    """Called before about `count` bytes are used: waits for them, where somebody looks after the memory."""
    ask: Callable[[int], None] | None = getattr(_asked, "ask", None)
    if ask is not None:
        ask(count)


@contextmanager
def asking(ask: Callable[[int], None]) -> Iterator[None]:
    """Within this context, in this thread, `admit` calls `ask`."""
    before = getattr(_asked, "ask", None)
    _asked.ask = ask
    try:
        yield
    finally:
        _asked.ask = before


class _Mine(threading.local):
    held: int | None = None  # None outside of a task


class Budget:
    """So many bytes for all tasks of a process together.

    Args:
        total: The bytes.
        elsewhere: How many of them are used by what is no task any more.
    """

    def __init__(self, total: int, *, elsewhere: Callable[[], int] = int) -> None:
        self.total = total
        self._elsewhere = elsewhere
        self._used = 0
        self._working = 0  # tasks that hold something and do not wait for more
        self._waiting: deque[object] = deque()
        self._changed = threading.Condition()
        self._mine = _Mine()

    @contextmanager
    def task(self) -> Iterator[None]:
        """Within this context this thread is one task."""
        self._mine.held = 0
        try:
            yield
        finally:
            held, self._mine.held = self._mine.held, None
            with self._changed:
                self._used -= held
                self._working -= held > 0
                self._wake()

    def take(self, count: int, *, wait: bool = True) -> bool:
        """True if this thread's task has `count` bytes more; outside of a task it always has.

        Args:
            count: Bytes.
            wait: Whether to wait for them; then the answer is yes.
        """
        if self._mine.held is None or count <= 0:
            return True
        with self._changed:
            if self._waiting or not self._fits(count):
                if not wait:
                    return False
                self._wait(count)
            self._working += self._mine.held == 0
            self._mine.held += count
            self._used += count
        return True

    def _wait(self, count: int) -> None:
        ticket = object()
        self._waiting.append(ticket)
        self._working -= self._mine.held != 0
        self._wake()
        try:
            self._changed.wait_for(lambda: self._waiting[0] is ticket and (self._fits(count) or not self._working))
        finally:
            self._waiting.remove(ticket)
            self._working += self._mine.held != 0
            self._wake()

    def _fits(self, count: int) -> bool:
        return self._used + self._elsewhere() + count <= self.total

    def _wake(self) -> None:
        if self._waiting:
            self._changed.notify_all()
