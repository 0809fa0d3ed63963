"""`maskbeam run` with a model that waits after its first batch: a run that is on its way and cannot end too early."""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from maskbeam.pipeline.job.job import Job
from maskbeam.transforms.elements import Array
from maskbeam.transforms.predict import Loader, Scores
from tests.support.numpy_engine import NumpyEngine, main, run_numpy

#: Whoever waits in vain goes on after so many seconds, before it counts as a hang; what a test expects is not there.
PATIENCE = 110.0
_calls: list[int] = []


def go_file(output: str) -> Path:
    """The file for which the second call of each process waits."""
    return Path(f"{output}.go")


@dataclass(frozen=True)
class WaitingEngine(NumpyEngine):
    go: str = ""

    def __call__(self, planes: Array) -> Scores:
        end = time.monotonic() + PATIENCE
        while _calls and not Path(self.go).exists() and time.monotonic() < end:
            time.sleep(0.05)
        _calls.append(len(planes))
        return super().__call__(planes)


@dataclass(frozen=True)
class WaitingLoader:
    end: str
    go: str

    def __call__(self) -> WaitingEngine:
        return WaitingEngine(self.end, go=self.go)


def waiting_loader(job: Job) -> tuple[Loader, Job]:
    return WaitingLoader(job.end, str(go_file(job.tree.root))), job


def run_waiting(argv: Sequence[str]) -> int:
    """`maskbeam run` with this engine; its exit code."""
    return run_numpy(argv, make_loader=waiting_loader)


if __name__ == "__main__":
    # By its name, so that workers find the classes where they lie.
    from tests.support.waiting_engine import waiting_loader as named

    sys.exit(main(sys.argv[1:], make_loader=named))
