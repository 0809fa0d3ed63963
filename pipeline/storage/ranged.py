"""A forward stream over something that answers byte ranges."""

import io
from collections.abc import Callable
from typing import Any

Fetch = Callable[[int, int], bytes]


class RangeStream(io.RawIOBase):
    """Reads `[start, end)` through `fetch(start, end)`, which gives less only where the data ends.

    Each read is one fetch, so it belongs inside an `io.BufferedReader`, whose buffer size is that of the fetches.
    """

    def __init__(self, fetch: Fetch, start: int, end: int | None, *, close: Callable[[], None] | None = None) -> None:
        self._fetch = fetch
        self._position = start
        self._end = end
        self._close = close

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        stop = self._position + len(buffer)
        stop = stop if self._end is None else min(stop, self._end)
        data = self._fetch(self._position, stop) if stop > self._position else b""
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def readall(self) -> bytes:
        return b"".join(iter(lambda: self.read(io.DEFAULT_BUFFER_SIZE * 1024) or b"", b""))

    def close(self) -> None:
        if not self.closed and self._close:
            self._close()
        super().close()
