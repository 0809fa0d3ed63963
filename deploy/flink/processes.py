"""The cluster's processes. Each carries its part's name in its environment, and so do its children.

So there are no files of process ids to go stale: what runs is read from `/proc`, whatever has crashed before.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

MARK = "MASKBEAM_CLUSTER"


class ClusterError(Exception):
    """Something is missing or does not start; the message says what to do."""


def start(name: str, command: list[str], *, log: Path, folder: Path, variables: dict[str, str]) -> None:
    """Starts a part in a session of its own.

    Args:
        name: The part's name.
        command: Its command line.
        log: File that its output is appended to.
        folder: Where it runs.
        variables: Of its environment, beside those of this process.
    """
    environment = {**os.environ, MARK: name, **variables}
    with log.open("ab") as out:
        subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env=environment,
            start_new_session=True,
        )


def processes() -> dict[int, str]:
    """The name of the part that each of the cluster's processes belongs to, by process id."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (folder / "environ").read_bytes().split(b"\0")
            marks = [word.partition(b"=")[2] for word in words if word.startswith(MARK.encode() + b"=")]
            if marks and not _ended(folder):
                found[int(folder.name)] = marks[0].decode()
    return found


def main_process(name: str) -> int | None:
    """The process of a part that its others descend from, if it runs."""
    leaders = (pid for pid, part in processes().items() if part == name and _session(pid) == pid)
    return next(leaders, None)


def children(name: str) -> list[int]:
    """A part's other processes; of a worker pool these are the Python workers."""
    return [pid for pid, part in processes().items() if part == name and _session(pid) != pid]


def kill(pids: list[int], sign: signal.Signals = signal.SIGKILL) -> None:
    """Sends a signal to processes; those that are gone already are no matter."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, sign)


def stop_all() -> None:
    """Ends all parts: asks first, and kills what has not ended within seconds."""
    for sign, seconds in ((signal.SIGTERM, 5), (signal.SIGKILL, 20)):
        kill(list(processes()), sign)
        with suppress(ClusterError):
            wait_until(lambda: not processes(), "the cluster's processes end", seconds=seconds)


def wait_until(true: Callable[[], bool], what: str, *, seconds: float) -> None:
    """Returns when something has come true.

    Raises:
        ClusterError: It has not within the time.
    """
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise ClusterError(f"waited {seconds:.0f} s in vain until {what}")
        time.sleep(0.2)


def _session(pid: int) -> int | None:
    with suppress(ProcessLookupError):
        return os.getsid(pid)
    return None


def _ended(folder: Path) -> bool:
    return (folder / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
