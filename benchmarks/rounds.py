"""Measures contenders in turns, round after round, so that whatever else the machine does hits all of them alike."""

import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks.contenders import Contender
from benchmarks.measure import Measured, measure


@dataclass
class Results:
    """What was measured, a value for each round."""

    runs: dict[str, list[Measured]] = field(default_factory=dict)
    limits: list[float] = field(default_factory=list)

    def rates(self, name: str) -> list[float]:
        """Steady images a second of a contender, or of the model alone, which is named `forward pass alone`."""
        return self.limits if name == LIMIT else [run.rate for run in self.runs[name]]

    def ratio(self, one: str, other: str) -> dict[str, float]:
        """How many times as fast one is as the other: within each round, then over rounds."""
        return spread([a / b for a, b in zip(self.rates(one), self.rates(other), strict=True)])


LIMIT = "forward pass alone"


def spread(values: Sequence[float]) -> dict[str, float]:
    """Smallest, middle and largest."""
    return {"min": min(values), "median": median(values), "max": max(values)}


def run_rounds(
    contenders: Sequence[Contender], *, model: Path | None, rounds: int, output: Path, seconds: float = 12
) -> Results:
    """Runs all contenders once a round, the model alone before and after them.

    Args:
        contenders: What to run.
        model: Whose forward pass is the limit; None for no limit.
        rounds: How many times.
        output: A folder for what they write.
        seconds: For each measurement of the limit.
    """
    results = Results()
    for number in range(rounds):
        before = forward_rate(model, seconds) if model else 0.0
        for contender in contenders:
            measured = measure(contender.command(output), output, last=contender.last, cores=contender.cores)
            results.runs.setdefault(contender.name, []).append(measured)
            print(f"round {number + 1}/{rounds}: {contender.name}: {measured.rate:.1f} images/s", flush=True)
        if model:
            results.limits.append((before + forward_rate(model, seconds)) / 2)
            print(f"round {number + 1}/{rounds}: {LIMIT}: {results.limits[-1]:.1f} images/s", flush=True)
    return results


def forward_rate(model: Path, seconds: float) -> float:
    """Images a second of the forward pass at its best batch size, in a process of its own."""
    rates: Mapping[str, float] = json.loads(_printed("benchmarks.limit", str(model), str(seconds)))
    return max(rates.values())


def first_call_seconds(model: Path, engine: str) -> float:
    """From the start of a process to the end of the model's first call."""
    start = time.time()
    return float(_printed("benchmarks.first_call", str(model), engine)) - start


def _printed(module: str, *arguments: str) -> str:
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return done.stdout.strip().splitlines()[-1]
