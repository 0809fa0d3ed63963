"""`maskbeam run` whose engine notes, at each call, what it is given and what its process holds."""

import gc
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from maskbeam.pipeline.job.job import Job
from maskbeam.transforms.elements import Array, ModelInput
from maskbeam.transforms.predict import Loader, Scores
from tests.support.numpy_engine import NumpyEngine, main

#: What comes ahead of the model has come when nothing more did for so many seconds.
STILL = 1.0
_given: list[int] = []


class Call(NamedTuple):
    """A call of the engine: images given, images held by its process, and that one's peak memory so far, in kB."""

    given: int
    held: int
    peak: int


def calls_file(output: str) -> Path:
    return Path(f"{output}.calls")


def calls(output: Path) -> list[Call]:
    """All calls of a run's engines."""
    return [Call(*map(int, line.split())) for line in calls_file(str(output)).read_text().splitlines()]


def peak_memory(pid: int) -> int:
    """The largest resident memory that a process has had, in kB."""
    return int(Path(f"/proc/{pid}/status").read_text().partition("VmHWM:")[2].split()[0])


def held() -> int:
    """Images of this process that are decoded and not written yet."""
    return len({item.image_id for item in gc.get_objects() if isinstance(item, ModelInput)})


def held_at_rest() -> int:
    """The same once it grows no more."""
    count, since = held(), time.monotonic()
    while time.monotonic() < since + STILL:
        time.sleep(STILL / 10)
        if held() != count:
            count, since = held(), time.monotonic()
    return count


@dataclass(frozen=True)
class RecordingEngine(NumpyEngine):
    log: str = ""

    def __call__(self, planes: Array) -> Scores:
        # The third call of a process is a slow one: all that may run ahead of it does.
        _given.append(len(planes))
        now = held_at_rest() if len(_given) == 3 else held()
        with Path(self.log).open("a") as file:
            file.write(f"{len(planes)} {now} {peak_memory(os.getpid())}\n")
        return super().__call__(planes)


@dataclass(frozen=True)
class RecordingLoader:
    end: str
    log: str

    def __call__(self) -> RecordingEngine:
        return RecordingEngine(self.end, log=self.log)


def recording_loader(job: Job) -> tuple[Loader, Job]:
    return RecordingLoader(job.end, str(calls_file(job.tree.root))), job


if __name__ == "__main__":
    # By its name, so that workers find the classes where they lie.
    from tests.cluster.recording_engine import recording_loader as named

    sys.exit(main(sys.argv[1:], make_loader=named))
