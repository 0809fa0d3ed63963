"""One run at a time finishes an output: a lease in the output folder, renewed while its holder lives.

Masks are safe without it, because every write names what it expects to find. The lease keeps two runs from taking
turns in the reports, and tells a person who starts the second one.
"""

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from pipeline.storage import Conflict, NotFound, Storage
from transforms.errors import RunError

LEASE_SECONDS = 60
RENEW_SECONDS = 15


class Lease:
    """The right to write reports and `_SUCCESS`. Use it as a context.

    Args:
        storage: The storage of the output.
        uri: Where the lease lies.
        run: This run's name.
        rivals: Other leases that must not be held at the same time.
        clock: Seconds since the epoch; tests pass their own.
    """

    def __init__(
        self,
        storage: Storage,
        uri: str,
        run: str,
        *,
        rivals: Iterable[str] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._storage, self._uri, self._run, self._rivals, self._clock = storage, uri, run, rivals, clock
        self._version: str | None = None
        self._stopped = threading.Event()
        self._renewer = threading.Thread(target=self._renew_forever, name="lease", daemon=True)

    def __enter__(self) -> "Lease":
        """Takes the lease.

        Raises:
            RunError: A run that is alive holds it.
        """
        for uri in self._rivals:
            self._check_free(uri)
        self._write(expected=self._check_free(self._uri))
        self._renewer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._renewer.join()
        self.release()

    def release(self) -> None:
        """Gives the lease back."""
        try:
            self._storage.delete(self._uri, version=self._version)
        except Conflict:
            # It ran out while we slept and somebody else took it over: theirs to delete.
            return

    def renew(self) -> None:
        """Extends the lease.

        Raises:
            RunError: Another run has taken it over.
        """
        self._write(expected=self._version)

    def _renew_forever(self) -> None:
        try:
            while not self._stopped.wait(RENEW_SECONDS):
                self.renew()
        except RunError:
            # Nobody waits for this thread: the finishing step asks `check_holder` before it writes.
            return

    def _write(self, *, expected: str | None) -> None:
        lease = {
            "run": self._run,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "expires": round(self._clock() + LEASE_SECONDS),
        }
        try:
            self._version = self._storage.write(self._uri, json.dumps(lease).encode(), expected=expected)
        except Conflict:
            raise RunError(
                f"another run has taken this output over from run {self._run}; let that one finish"
            ) from None

    def _check_free(self, uri: str) -> str | None:
        """The version of a lease that nobody alive holds."""
        held, version = self._read(uri)
        if held is not None and self._alive(held):
            raise RunError(
                f"run {held.get('run')} (process {held.get('pid')} on {held.get('host')}) is writing to this output; "
                f"wait for it, or choose another --output"
            )
        return version

    def _read(self, uri: str) -> tuple[dict[str, Any] | None, str | None]:
        try:
            data, version = self._storage.read_versioned(uri)
        except NotFound:
            return None, None
        try:
            return dict(json.loads(data)), version
        except (ValueError, TypeError):
            return None, version

    def _alive(self, held: dict[str, Any]) -> bool:
        if held.get("host") == socket.gethostname() and not _runs(held.get("pid")):
            return False
        expires = held.get("expires")
        return isinstance(expires, int | float) and self._clock() < expires


def check_holder(storage: Storage, uri: str, run: str) -> None:
    """Makes sure that no other run has taken the output over.

    Raises:
        RunError: Another run holds the lease.
    """
    try:
        held = json.loads(storage.read(uri)).get("run")
    except NotFound:
        return
    if held != run:
        raise RunError(
            f"run {held} has taken this output over; its reports stand, the ones of run {run} were not written"
        )


def _runs(pid: object) -> bool:
    if not isinstance(pid, int) or pid <= 0 or pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
