"""The identity of a process that holds something: more than its number, which every container counts from 1."""

import os
from pathlib import Path
from typing import Any


def identity() -> dict[str, Any]:
    """This process: `pid`, `boot`, `namespace` and `start`.

    `boot` is which boot of the machine it runs in, `namespace` that of its number, `start` in clock ticks after the
    boot. They are None where the system does not tell them.
    """
    return {"pid": os.getpid(), "boot": _boot(), "namespace": _namespace(), "start": _start(os.getpid())}


def is_gone(held: dict[str, Any]) -> bool:
    """True if a process that `identity` described has ended; False where that cannot be told from here."""
    pid, start = held.get("pid"), held.get("start")
    known = (held.get("boot"), held.get("namespace")) == (_boot(), _namespace()) and None not in (_boot(), start)
    if not known or not isinstance(pid, int):
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        return False
    # Its number may be another process's by now. What the system does not tell is no end.
    return _start(pid) not in (None, start)


def _boot() -> str | None:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None


def _namespace() -> int | None:
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return None


def _start(pid: int) -> int | None:
    """When a process began, 0 for one that has ended and was not waited for; None where the system does not say."""
    try:
        # The second field is the program's name, which may hold blanks and brackets.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return 0 if fields[0] in b"ZX" else int(fields[19])
    except (OSError, ValueError, IndexError):
        return None
