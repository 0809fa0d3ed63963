"""Connections on which an attempt has an end: a bound on its time and on its bytes, whatever the other side sends.

The timeout of a socket is the longest silence between two bytes, so that an answer of a byte in three seconds would
never end, and one without an end would fill the memory.
"""

import http.client
import io
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection

from maskbeam.pipeline.storage.retry import Attempt, UnfitAnswerError

# A page of 1,000 names with the longest metadata has a fifth of it. What is larger is asked for in parts, or by size.
_MOST_BYTES = 64 << 20
# An attempt gets a second more for each of these that it moves: a line that is slower does no work worth waiting for.
_BYTES_A_SECOND = 64 << 10


class _Bounds(threading.local):
    """Those of the attempt that this thread makes; none outside of one."""

    attempt: Attempt | None = None
    started = 0.0
    moved = 0
    most = _MOST_BYTES

    def seconds(self) -> float | None:
        """The longest silence that is waited for next, in seconds; None: no attempt is made.

        Raises:
            TimeoutError: The attempt has taken too long as a whole.
        """
        if self.attempt is None:
            return None
        left = self.started + self.attempt.patience + self.moved / _BYTES_A_SECOND - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer took too long as a whole")
        return min(left, self.attempt.timeout)

    def add(self, count: int) -> None:
        """Counts bytes that were moved.

        Raises:
            UnfitAnswerError: They are more than any answer has.
        """
        self.moved += count
        if self.attempt and self.moved > self.most:
            raise UnfitAnswerError("the answer has no end")


_bounds = _Bounds()


@contextmanager
def bounded(attempt: Attempt) -> Iterator[None]:
    """Within this context the requests of this thread are one attempt, with its bounds."""
    _bounds.attempt, _bounds.started = attempt, time.monotonic()
    _bounds.moved, _bounds.most = 0, _MOST_BYTES
    try:
        yield
    finally:
        _bounds.attempt = None


def expect_bytes(count: int) -> None:
    """Lets the attempt of this thread move so many bytes more."""
    _bounds.most += count


class _BoundedReader(io.RawIOBase):
    """Reads from a socket, within the bounds of the attempt that reads."""

    def __init__(self, raw: io.RawIOBase, connection: Any) -> None:
        self._raw = raw
        self._connection = connection

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        seconds = _bounds.seconds()
        if seconds is not None:
            self._connection.settimeout(seconds)
        count = self._raw.readinto(buffer)
        _bounds.add(count or 0)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _BoundedResponse(http.client.HTTPResponse):
    def __init__(self, sock: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_BoundedReader(self.fp.detach(), sock))


class _Bounded:
    """Of a connection: answers and what is sent stay within the bounds."""

    sock: Any

    def send(self, data: Any) -> None:
        seconds = _bounds.seconds()
        if self.sock is not None and seconds is not None:
            self.sock.settimeout(seconds)
        super().send(data)  # type: ignore[misc]
        if isinstance(data, bytes):
            expect_bytes(len(data))
            _bounds.add(len(data))


class _Http(_Bounded, HTTPConnection):
    response_class = _BoundedResponse


class _Https(_Bounded, HTTPSConnection):
    response_class = _BoundedResponse


class _HttpPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Http


class _HttpsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _Https


class BoundedAdapter(HTTPAdapter):
    """The transport of a `requests` session, directly or through a proxy, with these connections."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        if type(manager) is urllib3.ProxyManager:  # that of SOCKS makes connections of its own
            manager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}
        return manager
