"""Runs one command in a process of its own and says what it cost, from outside: one clock measures all."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

# Steady rates begin when this share of the masks is there: engines have started and queues are full.
WARM_SHARE = 0.15
_INTERVAL = 0.1
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Sample:
    """What a process has used so far, at `time` seconds after its start."""

    time: float
    cpu: float
    megabytes: float


@dataclass(frozen=True)
class Measured:
    """What a command cost.

    Attributes:
        images: Masks that it wrote.
        seconds: From the start of the process to the last file of its report.
        first: From the start of the process to its first mask.
        rate: Images a second, from the first 15% of the masks to the last file of the report.
        cpu_ms: CPU milliseconds an image over the same time.
        peak_mb: Largest resident memory.
        samples: Memory and CPU over time.
    """

    images: int
    seconds: float
    first: float
    rate: float
    cpu_ms: float
    peak_mb: float
    samples: list[Sample] = field(repr=False)


def measure(command: Sequence[str], output: Path, *, last: str, cores: int = 0) -> Measured:
    """Runs a command that writes `masks/` below `output`, which is set aside before.

    Args:
        command: Arguments after `python`.
        output: The folder that the command writes to.
        last: The file that it writes when all is done.
        cores: How many cores it may use; 0 for all.

    Raises:
        RuntimeError: The command failed.
    """
    _set_aside(output)
    output.mkdir(parents=True)
    # What earlier commands wrote reaches the disk before this one is timed.
    os.sync()
    log = output.with_suffix(".log")
    start = time.time()
    with log.open("wb") as stream:
        process = subprocess.Popen([sys.executable, *command], stdout=stream, stderr=stream)
        if cores:
            os.sched_setaffinity(process.pid, sorted(os.sched_getaffinity(0))[:cores])
        samples = list(_watched(process, start))
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{log.read_text(errors='replace')[-3000:]}")
    written = sorted(path.stat().st_mtime - start for path in (output / "masks").rglob("*.png"))
    return _summary(written, (output / last).stat().st_mtime - start, samples)


def _set_aside(output: Path) -> None:
    # Not deleted: for a while after deleting, ext4 looks for each new file's inode among the deleted ones, a
    # fifth of the CPU time of host work in a profile.
    if output.exists():
        aside(output).mkdir(exist_ok=True)
        output.rename(aside(output) / str(len(list(aside(output).iterdir()))))


def aside(output: Path) -> Path:
    """Where earlier outputs lie."""
    return output.with_name(f"{output.name}-before")


def _watched(process: "subprocess.Popen[bytes]", start: float) -> list[Sample]:
    samples = []
    while process.poll() is None:
        sample = _sample(process.pid, time.time() - start)
        if sample:
            samples.append(sample)
        time.sleep(_INTERVAL)
    return samples


def _sample(pid: int, at: float) -> Sample | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return Sample(at, (int(stat[11]) + int(stat[12])) / _TICKS, int(stat[21]) * _PAGE / 1e6)


def _summary(written: list[float], end: float, samples: list[Sample]) -> Measured:
    warm = int(len(written) * WARM_SHARE)
    begin, images = written[warm], len(written) - warm - 1
    cpu = _cpu_at(samples, end) - _cpu_at(samples, begin)
    peak = max(sample.megabytes for sample in samples)
    rate = images / (end - begin)
    return Measured(len(written), end, written[0], rate, 1000 * cpu / images, peak, samples)


def _cpu_at(samples: list[Sample], at: float) -> float:
    return min(samples, key=lambda sample: abs(sample.time - at)).cpu
