"""The cluster under deploy/flink, and runs that are sent there."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCRIPT = "deploy/flink/cluster.py"
# Far beyond what any run here takes on a busy machine.
PATIENCE = 280.0


@dataclass(frozen=True)
class Cluster:
    """A cluster that runs.

    Attributes:
        flags: What sends a pipeline there.
    """

    flags: tuple[str, ...]

    @classmethod
    def start(cls) -> "Cluster":
        call("up")
        return cls(tuple(call("flags").split()))

    def up(self) -> None:
        """Replaces what was killed."""
        call("up")

    def kill(self, part: str) -> None:
        call("kill", part)


def call(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, SCRIPT, *words], check=False, capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@dataclass(frozen=True)
class Run:
    """A run in a process of its own."""

    process: subprocess.Popen[str]
    output: Path

    @classmethod
    def start(
        cls,
        argv: Sequence[str],
        output: Path,
        *,
        module: str = "tests.support.numpy_engine",
        folder: Path | None = None,
    ) -> "Run":
        """Starts it in `folder`, here unless told."""
        words = [sys.executable, "-m", module, *argv, "--output", str(output)]
        variables = {**os.environ, "PYTHONPATH": str(Path.cwd())}
        process = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder, env=variables
        )
        return cls(process, output)

    def end(self) -> tuple[int, str]:
        """Its exit code and what it said."""
        try:
            said, _ = self.process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        return self.process.returncode, said

    def must_succeed(self) -> None:
        code, said = self.end()
        assert code == 0, said

    def wait_for_masks(self, count: int) -> None:
        """Returns once so many masks are there, or when the run is over."""
        wait_until(lambda: self.process.poll() is not None or masks(self.output) >= count)


def masks(output: Path) -> int:
    return sum(1 for path in (output / "masks").rglob("*.png"))


def wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def last_run(output: Path) -> dict[str, Any]:
    newest = max((output / "runs").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    return dict(json.loads(newest.read_text()))
