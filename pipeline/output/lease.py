"""One run at a time finishes an output: a lease in the output folder, renewed while its run lives.

Masks are safe without it, because every write names what it expects to find. The lease keeps two runs from taking
turns in the reports, and tells a person who starts the second one. The client renews it. A job on a cluster may
outlive its client; its workers renew it then (`time_left`).
"""

import logging
import math
import socket
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from maskbeam.pipeline.output.lease_file import (
    LEASE_SECONDS,
    RENEW_SECONDS,
    ROUNDS,
    NoLeaseError,
    TakenOverError,
    content_of,
    expires_of,
    named,
    read_lease,
    time_left,
    whereabouts,
)
from maskbeam.pipeline.process.ending import END_SECONDS
from maskbeam.pipeline.process.identity import identity, is_gone
from maskbeam.pipeline.storage import Conflict, SourceChanged, Storage, folder_of
from maskbeam.transforms.errors import ImageError, RunError

# Whoever writes looks at the lease again so long before it ends: clocks differ, and a write takes its time.
_MARGIN_SECONDS = 15
_GOING_ON = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

_log = logging.getLogger(__name__)
# The leases that this process itself holds, by run.
_leases: dict[str, "Lease"] = {}


def held_here(run: str) -> "Lease | None":
    """The lease of a run, in the process that holds it."""
    return _leases.get(run)


def elapsed() -> float:
    """Seconds that go on while the process is stopped and, on Linux, while the machine sleeps."""
    return time.clock_gettime(_GOING_ON)


class Trust:
    """Until when nobody else can have taken a lease that was looked at.

    By two clocks: the time of day does not stop with the machine, and the other one cannot be set back.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.end()

    def end(self) -> None:
        """Has the lease looked at before the next write."""
        self._wall = self._since = -math.inf

    def begin(self, looked: float, since: float, left: float) -> None:
        """Trusts a lease that had `left` seconds, at most a whole lease, when the clocks showed these times."""
        seconds = min(left, LEASE_SECONDS) - _MARGIN_SECONDS
        self._wall, self._since = looked + seconds, since + seconds

    @property
    def holds(self) -> bool:
        return self._clock() < self._wall and elapsed() < self._since


class Lease:
    """The right to write to an output. Use it as a context.

    Args:
        storage: The storage of the output.
        uri: Where the lease lies.
        run: This run's name.
        rivals: Other leases that must not be held at the same time.
        outlives: Whether the run may go on when this process is gone, as on a cluster; then only time ends its lease.
        clock: Seconds since the epoch; tests pass their own.

    Attributes:
        lost: Whether the lease was found to be another run's, or gone.
        before: The run that had the lease before and did not give it back.
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
        self._process = {"pid": None} if outlives else identity()
        self._kept = self._released = self.lost = False
        self.before: str | None = None
        self._trust, self._renewing = Trust(clock), threading.RLock()
        self._stopped = threading.Event()
        self._renewer = threading.Thread(target=self._renew_forever, name="lease", daemon=True)

    def __enter__(self) -> "Lease":
        """Takes the lease.

        Raises:
            RunError: A run that is alive holds it.
        """
        for uri in self._rivals:
            self._check_free(uri)
        held, version = self._check_free(self._uri)
        self.before = held["run"] if held else None
        try:
            with self._renewing:
                if self._released:
                    # By a signal, whose thread is about to end this process.
                    raise RunError("this run was stopped before it began")
                self._write(expected=version)
        except ImageError as error:
            # Said of an image's file; here it is the output itself.
            raise RunError(f"nothing can be written to {folder_of(self._uri)[:200]}: {error.reason}") from None
        except Conflict:
            raise self._not_written() from None
        _leases[self._run] = self
        self._renewer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._renewer.join()
        _leases.pop(self._run, None)
        if not self._kept:
            self.release()

    def keep(self) -> None:
        """Leaves the lease, at the end of the context, to the workers of a job that goes on."""
        self._kept = True

    def release(self) -> None:
        """Gives the lease back, from any thread, and takes it no more; one that somebody else took over stays."""
        # Whoever is writing it comes to an end first, unless the storage hangs.
        written = self._renewing.acquire(timeout=END_SECONDS / 2)
        self._released = True
        try:
            with suppress(NoLeaseError):
                self._delete()
        finally:
            if written:
                self._renewing.release()

    def _delete(self) -> None:
        for _ in range(ROUNDS):
            # A worker may renew it between the two steps.
            with suppress(Conflict, SourceChanged):
                held, version = read_lease(self._storage, self._uri)
                if held is not None and held.get("run") == self._run:
                    self._storage.delete(self._uri, version=version)
                return

    def check(self) -> None:
        """Makes sure that the lease is this run's; looks at two clocks, unless it was not renewed for a while.

        Raises:
            TakenOverError: Another run has taken it over, or it is gone.
            RunError: The storage refuses, or keeps failing.
        """
        if not self._trust.holds:
            with self._renewing:
                if not self._trust.holds:
                    self.renew()

    def renew(self) -> None:
        """Extends the lease; errors as in `check`."""
        with self._renewing:
            looked, since = self._clock(), elapsed()
            try:
                time_left(self._storage, self._uri, self._run, process=self._process, clock=self._clock)
            except TakenOverError:
                self.lost = True
                self._trust.end()
                raise
            self._trust.begin(looked, since, LEASE_SECONDS)

    def _renew_forever(self) -> None:
        while not self._stopped.wait(RENEW_SECONDS):
            try:
                self.renew()
            except TakenOverError as error:
                # Whoever writes next learns it, too, and ends the run.
                _log.error("%s", error)
                return
            except (RunError, SourceChanged) as error:
                # A storage that fails for a while is no reason to let the lease run out when it is back.
                _log.warning("the lease on the output could not be renewed, trying again: %s", error)

    def _write(self, *, expected: str | None) -> None:
        looked, since = self._clock(), elapsed()
        self._storage.write(self._uri, content_of(self._run, self._process, looked), expected=expected)
        self._trust.begin(looked, since, LEASE_SECONDS)

    def _not_written(self) -> RunError:
        held, version = read_lease(self._storage, self._uri)
        if version is None and self._storage.stat(self._uri) is None:
            return RunError(f"{self._uri} must be a file, and is something else; remove it")
        by = f" ({whereabouts(held, self._clock())})" if held else ""
        return RunError(f"another run{by} has just begun to write to this output; wait for it")

    def _check_free(self, uri: str) -> tuple[dict[str, Any] | None, str | None]:
        """The content of a lease that nobody alive holds, and its version."""
        held, version = read_lease(self._storage, uri)
        now = self._clock()
        if held is None or now >= expires_of(held) or (held.get("host") == socket.gethostname() and _ended(held)):
            return held, version
        if expires_of(held) > now + 2 * LEASE_SECONDS:
            raise RunError(
                f"{uri} says that {named(held)} ({whereabouts(held, now)}) holds this output for longer than a run "
                "may: the file is damaged, or a clock is wrong; if nothing writes there, remove that file"
            )
        raise RunError(
            f"{named(held)} ({whereabouts(held, now)}) is writing to this output; wait for it, or choose another "
            "--output"
        )


def _ended(held: dict[str, Any]) -> bool:
    """True if the process that a lease names, on this host, has ended or given it up."""
    mine = identity()
    if mine["boot"] is not None and mine.items() <= held.items():
        return held["run"] not in _leases
    return is_gone(held)
