"""One run at a time finishes an output: a lease in the output folder, renewed while its run lives.

Masks are safe without it, because every write names what it expects to find. The lease keeps two runs from taking
turns in the reports, and tells a person who starts the second one. The client renews it. A job on a cluster may
outlive its client; its workers renew it then (`keep_alive`).
"""

import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from pipeline.storage import Conflict, NotFound, SourceChanged, Storage
from transforms.errors import RunError

LEASE_SECONDS = 60
RENEW_SECONDS = 15
# What is left of a lease whose client has missed two renewals; until then workers leave it to the client.
_MISSED_SECONDS = LEASE_SECONDS - 2 * RENEW_SECONDS

_log = logging.getLogger(__name__)


class TakenOverError(RunError):
    """The lease is another run's now, or gone."""


class Lease:
    """The right to write reports and `_SUCCESS`. Use it as a context.

    Args:
        storage: The storage of the output.
        uri: Where the lease lies.
        run: This run's name.
        rivals: Other leases that must not be held at the same time.
        outlives: Whether the run may go on when this process is gone, as on a cluster; then only time ends its lease.
        clock: Seconds since the epoch; tests pass their own.
    """

    def __init__(
        self,
        storage: Storage,
        uri: str,
        run: str,
        *,
        rivals: Iterable[str] = (),
        outlives: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._storage, self._uri, self._run, self._rivals, self._clock = storage, uri, run, rivals, clock
        self._pid = None if outlives else os.getpid()
        self._kept = False
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
        version = self._check_free(self._uri)
        try:
            self._write(expected=version)
        except Conflict:
            raise self._taken_over() from None
        self._renewer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._renewer.join()
        if not self._kept:
            self.release()

    def keep(self) -> None:
        """Leaves the lease, at the end of the context, to the workers of a job that goes on."""
        self._kept = True

    def release(self) -> None:
        """Gives the lease back."""
        # It may have run out while we slept, and somebody else took it over: theirs to delete.
        with suppress(Conflict, TakenOverError):
            try:
                self._storage.delete(self._uri, version=self._version)
            except Conflict:
                self._storage.delete(self._uri, version=self._own_version())

    def renew(self) -> None:
        """Extends the lease.

        Raises:
            TakenOverError: Another run has taken it over.
            RunError: The storage refuses, or keeps failing.
        """
        try:
            self._write(expected=self._version)
        except Conflict:
            # A worker has just renewed it, or the answer to our own last renewal was lost: it is good for a while.
            self._version = self._own_version()

    def _renew_forever(self) -> None:
        while not self._stopped.wait(RENEW_SECONDS):
            try:
                self.renew()
            except TakenOverError:
                # Nobody waits for this thread: the finishing step asks `check_holder` before it writes.
                return
            except (RunError, SourceChanged) as error:
                # A storage that fails for a while is no reason to let the lease run out when it is back.
                _log.warning("the lease on the output could not be renewed, trying again: %s", error)

    def _write(self, *, expected: str | None) -> None:
        data = _content(self._run, self._pid, self._clock())
        self._version = self._storage.write(self._uri, data, expected=expected)

    def _own_version(self) -> str | None:
        held, version = _read(self._storage, self._uri)
        if held is None or held.get("run") != self._run:
            raise self._taken_over()
        return version

    def _taken_over(self) -> TakenOverError:
        return TakenOverError(f"another run has taken this output over from run {self._run}; let that one finish")

    def _check_free(self, uri: str) -> str | None:
        """The version of a lease that nobody alive holds."""
        held, version = _read(self._storage, uri)
        if held is not None and _is_alive(held, self._clock()):
            raise RunError(
                f"run {held.get('run')} ({_whereabouts(held)}) is writing to this output; "
                f"wait for it, or choose another --output"
            )
        return version


def keep_alive(
    storage: Storage, uri: str, run: str, *, working: bool = True, clock: Callable[[], float] = time.time
) -> bool:
    """Renews a run's lease in place of a client that has missed two renewals; for workers.

    Never makes a lease, and never touches another run's.

    Args:
        storage: The storage of the output.
        uri: Where the lease lies.
        run: The run's name.
        working: Whether the run does anything; without it the lease is only looked at.
        clock: Seconds since the epoch.

    Returns:
        Whether the lease is the run's and has not run out.

    Raises:
        RunError: The storage refuses, or keeps failing.
    """
    held, version = _read(storage, uri)
    if held is None or held.get("run") != run:
        return False
    left = _expires(held) - clock()
    if working and left < _MISSED_SECONDS:
        # Whoever was quicker has renewed it, or taken it over, which the next look shows.
        with suppress(Conflict):
            storage.write(uri, _content(run, None, clock()), expected=version)
        return True
    return left > 0


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


def _content(run: str, pid: int | None, now: float) -> bytes:
    # Without a process: a run that outlives its client, so that nobody's death ends the lease before its time.
    lease = {"run": run, "host": socket.gethostname(), "pid": pid, "expires": round(now + LEASE_SECONDS)}
    return json.dumps(lease).encode()


def _read(storage: Storage, uri: str) -> tuple[dict[str, Any] | None, str | None]:
    try:
        data, version = storage.read_versioned(uri)
    except NotFound:
        return None, None
    try:
        return dict(json.loads(data)), version
    except (ValueError, TypeError):
        return None, version


def _is_alive(held: dict[str, Any], now: float) -> bool:
    local = held.get("pid") is not None and held.get("host") == socket.gethostname()
    return now < _expires(held) and not (local and not _runs(held["pid"]))


def _expires(held: dict[str, Any]) -> float:
    expires = held.get("expires")
    return expires if isinstance(expires, int | float) else 0.0


def _whereabouts(held: dict[str, Any]) -> str:
    if held.get("pid") is None:
        return f"a job last seen from {held.get('host')}; if it is dead, its lease ends within a minute"
    return f"process {held.get('pid')} on {held.get('host')}"


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
