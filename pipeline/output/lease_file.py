"""The file that a lease is: who holds an output, from where, and until when."""

import json
import math
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from maskbeam.pipeline.output.stored_json import parse_stored
from maskbeam.pipeline.storage import Conflict, NotFound, SourceChanged, Storage, Unavailable, folder_of
from maskbeam.transforms.errors import RunError

LEASE_SECONDS = 60
RENEW_SECONDS = 15
# What is left of a lease whose client has missed two renewals; until then workers leave it to the client.
_MISSED_SECONDS = LEASE_SECONDS - 2 * RENEW_SECONDS
# How often a lease may change under the hands of one that renews it.
ROUNDS = 20


class NoLeaseError(RunError):
    """In the place of the lease lies a file of others."""


class TakenOverError(RunError):
    """The lease is another run's now, or gone: whoever learns it stops writing."""


def time_left(
    storage: Storage,
    uri: str,
    run: str,
    *,
    process: dict[str, Any] | None = None,
    working: bool = True,
    clock: Callable[[], float] = time.time,
) -> float:
    """The seconds that a run's lease is still good for, once it is renewed where it needs to be.

    Never makes a lease, and never touches another run's.

    Args:
        storage: The storage of the output.
        uri: Where the lease lies.
        run: The run's name.
        process: Of the client, which renews it every time; workers do so when the client has missed two renewals.
        working: Whether the run does anything; without it the lease is only looked at.
        clock: Seconds since the epoch.

    Raises:
        TakenOverError: It is another run's, or gone.
        RunError: The storage refuses, or keeps failing.
    """
    for _ in range(ROUNDS):
        with suppress(Conflict, SourceChanged):
            held, version = read_lease(storage, uri)
            if held is None or held.get("run") != run:
                raise _taken_over(uri, run, held)
            now = clock()
            left = min(expires_of(held) - now, LEASE_SECONDS)
            if process is None and not (working and left < _MISSED_SECONDS):
                return left
            storage.write(uri, content_of(run, process or {"pid": None}, now), expected=version)
            return LEASE_SECONDS
    raise Unavailable(f"the lease in {folder_of(uri)} keeps changing; let only maskbeam write there")


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
    try:
        return time_left(storage, uri, run, working=working, clock=clock) > 0
    except TakenOverError:
        return False


def _taken_over(uri: str, run: str, held: dict[str, Any] | None) -> TakenOverError:
    output = folder_of(uri)
    if held is None:
        return TakenOverError(
            f"run {run} has lost its lease in {output}: that folder or file was removed or moved, or another run "
            "took it over and has ended. This run writes nothing more"
        )
    return TakenOverError(
        f"{named(held)} has taken the output {output} over from run {run}, which was stopped for a while; its "
        "reports stand, and this run writes nothing more"
    )


def content_of(run: str, process: dict[str, Any], now: float) -> bytes:
    """A lease from `now` on, in seconds since the epoch, of a `process` as `process.identity` tells it."""
    # Without a process: a run that outlives its client, so that nobody's death ends the lease before its time.
    lease = {"run": run, "host": socket.gethostname(), **process, "expires": round(now + LEASE_SECONDS)}
    return json.dumps(lease).encode()


def read_lease(storage: Storage, uri: str) -> tuple[dict[str, Any] | None, str | None]:
    """The content of a lease, and its version; nothing of one that is not there, or is still empty.

    Raises:
        NoLeaseError: There is a file, and it is no lease.
    """
    try:
        data, version = storage.read_versioned(uri)
    except NotFound:
        return None, None
    if not data:
        # Where there are no hard links a file appears before its content: its writer died in between.
        return None, version
    with suppress(ValueError, TypeError, KeyError, OverflowError):
        held = parse_stored(data)
        if isinstance(held["run"], str) and not math.isnan(held["expires"]):
            return held, version
    raise NoLeaseError(f"{uri} is no lease of maskbeam's; move it away, or choose another --output")


def expires_of(held: dict[str, Any]) -> float:
    """When a lease ends, in seconds since the epoch."""
    return float(held["expires"])


def named(held: dict[str, Any]) -> str:
    """The run that a lease names, for a person; whatever the file holds, it is one line of plain letters."""
    return f"run {ascii(held['run']).strip(chr(39))[:80]}"


def whereabouts(held: dict[str, Any], now: float) -> str:
    """The place of a run that holds a lease, and for how long it does, for a person."""
    host = ascii(held.get("host")).strip("'")[:80]
    left = expires_of(held) - now
    ends = f"its lease ends in {left:.0f} s" if left <= 2 * LEASE_SECONDS else "its lease ends some other day"
    if held.get("pid") is None:
        return f"a job last seen from {host}; if it is dead, {ends}"
    return f"process {ascii(held.get('pid'))[:20]} on {host}; if it is dead, {ends}"
