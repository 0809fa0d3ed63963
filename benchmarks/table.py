"""What the benchmark says: its rows against their targets, as JSON and as a page of markdown."""

import os
import platform
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from benchmarks.rounds import Results

Spread = dict[str, float]


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        number: As the targets count them; 0 for what has no target.
        what: What was measured.
        value: Its smallest, middle and largest value over rounds.
        at_least: The target of the middle value; a limit from above where smaller is better.
        aim: What was hoped for.
        smaller: Whether smaller is better.
    """

    number: int
    what: str
    value: Spread
    at_least: float | None = None
    aim: float | None = None
    smaller: bool = False

    @property
    def verdict(self) -> str:
        """How the middle value compares with the target."""
        if self.at_least is None or self.aim is None:
            return ""
        sign = -1 if self.smaller else 1
        reached = [sign * self.value["median"] >= sign * limit for limit in (self.at_least, self.aim)]
        return "aim reached" if all(reached) else "reached" if reached[0] else "missed"


def markdown(rows: list[Row], results: Results, *, about: dict[str, str], plot: str) -> str:
    """The page."""
    return "\n".join(
        [
            "# What it costs",
            "",
            "Made by `make bench`. Everything here was measured in turns, in processes of their own, on one machine:",
            "",
            *(f"- {name}: {value}" for name, value in about.items()),
            "",
            "Rates are images a second from the first 15% of masks to the last file of the report. Ratios are taken",
            "within each round: the table gives their smallest, middle and largest value.",
            "",
            *rows_of(rows),
            "",
            "| run | images/s (median) | CPU ms an image | start to first mask, s | whole, s | peak MB |",
            "|---|---|---|---|---|---|",
            *_runs(results),
            "",
            f"![images a second and memory over time]({plot})",
            "",
        ]
    )


def rows_of(rows: Iterable[Row]) -> Iterator[str]:
    """The table of rows, a line each."""
    yield "| | what | min | **median** | max | target | aim | |"
    yield "|---|---|---|---|---|---|---|---|"
    yield from map(_line, rows)


def _line(row: Row) -> str:
    low, middle, high = (_short(row.value[name]) for name in ("min", "median", "max"))
    target, aim = (
        "" if limit is None else f"{'<=' if row.smaller else '>='} {limit}" for limit in (row.at_least, row.aim)
    )
    return f"| {row.number or ''} | {row.what} | {low} | **{middle}** | {high} | {target} | {aim} | {row.verdict} |"


def _runs(results: Results) -> Iterator[str]:
    if results.limits:
        yield f"| forward pass alone | {_short(sorted(results.limits)[len(results.limits) // 2])} | | | | |"
    for name, runs in results.runs.items():
        run = sorted(runs, key=lambda run: run.rate)[len(runs) // 2]
        cells = (run.rate, run.cpu_ms, run.first, run.seconds, run.peak_mb)
        yield f"| {name} | {' | '.join(map(_short, cells))} |"


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def machine() -> dict[str, str]:
    """What the numbers depend on."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = ", ".join(
        f"{name} {version(name)}" for name in ("apache-beam", "tensorflow", "keras", "openvino", "numpy")
    )
    return {
        "processor": f"{model}, {len(os.sched_getaffinity(0))} cores",
        "memory": f"{memory:.0f} GiB",
        "load when it began": f"{os.getloadavg()[0]:.1f} (0 is an idle machine)",
        "software": f"Python {platform.python_version()}, {versions}",
    }
