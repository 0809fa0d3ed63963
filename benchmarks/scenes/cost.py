"""What work costs, told by the process that does it: the wall's seconds, the processors', and its memory."""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Cost = dict[str, float]


@dataclass(frozen=True)
class Clock:
    """A moment of this process: on the wall, and of the processors' time that it has used."""

    wall: float = field(default_factory=time.time)
    processors: float = field(default_factory=time.process_time)

    def since(self, other: "Clock") -> Cost:
        """What was spent from another moment until this one."""
        return {"seconds": self.wall - other.wall, "cpu": self.processors - other.processors}


def tell(**said: Any) -> None:
    """Prints what was measured, and the largest resident memory of this process."""
    print(json.dumps({**said, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000}))


def told(*command: str, log: Path, python: str = sys.executable) -> Mapping[str, Any]:
    """Runs `python -m COMMAND` and gives what it told.

    Raises:
        RuntimeError: It failed.
    """
    with log.open("wb") as stream:
        done = subprocess.run([python, "-m", *command], check=False, stdout=subprocess.PIPE, stderr=stream)
    if done.returncode:
        raise RuntimeError(f"python -m {' '.join(command)} failed:\n{log.read_text(errors='replace')[-3000:]}")
    said: Mapping[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said
