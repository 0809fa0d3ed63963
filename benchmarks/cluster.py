"""What a Flink cluster costs and gains: `python -m benchmarks.cluster`, or `make bench-cluster`, which starts one.

The same work on the local runner, on one TaskManager and on two, in turns; with a model, and with an engine that
returns a constant, so that only the runner's own work is left.
"""

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks import table
from benchmarks.contenders import Contender
from benchmarks.data import photographs, write_shards
from benchmarks.measure import aside
from benchmarks.rounds import Results, run_rounds
from benchmarks.table import Row
from maskbeam.pipeline.commands.demo.sample_input import SAMPLE_MODEL

SCRIPT = "deploy/flink/cluster.py"
SIZE = (360, 480)
# Small shards, so that each worker gets as many images as the other.
PER_SHARD = 20
MODEL, CONSTANT = "sample model", "constant engine"
IMAGES = {MODEL: 300, CONSTANT: 2400}
LOCAL, ONE, TWO = "local runner", "1 TaskManager", "2 TaskManagers"
ROUNDS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("benchmarks/out"), help="folder for data and outputs")
    parser.add_argument("--results", type=Path, default=Path("benchmarks/results"), help="folder for the results")
    given = parser.parse_args()
    about, output = table.machine(), given.work.absolute() / "output"
    try:
        results = run_rounds(contenders(given.work.absolute()), model=None, rounds=ROUNDS, output=output)
    finally:
        shutil.rmtree(aside(output), ignore_errors=True)
    write(given.results, about, results)


def contenders(work: Path) -> list[Contender]:
    """Each engine in each place."""
    flink = subprocess.run([sys.executable, SCRIPT, "flags"], check=True, stdout=subprocess.PIPE, text=True)
    flags = flink.stdout.split()
    places: dict[str, list[str]] = {LOCAL: [], ONE: [*flags, "--parallelism=1"], TWO: flags}
    return [contender(work, engine, place, flags) for engine in IMAGES for place, flags in places.items()]


def contender(work: Path, engine: str, place: str, flags: Sequence[str]) -> Contender:
    """An engine in a place, which Beam's flags say."""
    count = IMAGES[engine]
    folder = write_shards(work / "data" / f"cluster-{count}", photographs([SIZE] * count), per_shard=PER_SHARD)
    # Braces would be taken for the output's place.
    where = [flag.replace("{", "{{").replace("}", "}}") for flag in flags]
    if engine == CONSTANT:
        module, words = "benchmarks.host_work", [f"{folder}/*", "{}", "labels", *where]
    else:
        fixed = ["--input", f"{folder}/*", "--model", str(SAMPLE_MODEL), "--engine", "tensorflow", "--output", "{}"]
        module, words = "maskbeam.pipeline.main", ["run", *fixed, "--upsample", "labels", *where]
    return Contender(f"{engine}, {place}", module, tuple(words), last="_SUCCESS")


def write(folder: Path, about: dict[str, str], results: Results) -> None:
    """Writes the results as JSON and as a page."""
    pairs = [(TWO, ONE), (TWO, LOCAL), (ONE, LOCAL)]
    rows = [
        Row(0, f"{engine}: {one} / {other}", results.ratio(f"{engine}, {one}", f"{engine}, {other}"))
        for engine in IMAGES
        for one, other in pairs
    ]
    runs = {
        name: [{"rate": run.rate, "first": run.first, "seconds": run.seconds} for run in runs_]
        for name, runs_ in results.runs.items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    stored = {"machine": about, "rows": [asdict(row) for row in rows], "runs": runs}
    (folder / "cluster.json").write_text(json.dumps(stored, indent=1) + "\n")
    text = page(rows, results, about)
    (folder / "cluster.md").write_text(text)
    print(text)


def page(rows: Sequence[Row], results: Results, about: dict[str, str]) -> str:
    """The results as a page of markdown."""
    sizes = " and ".join(f"{count:,} for the {engine}" for engine, count in IMAGES.items())
    lines = [
        "# What a cluster costs",
        "",
        f"Made by `make bench-cluster`: JPEGs of {SIZE[1]} x {SIZE[0]} in TFRecord shards, {sizes},",
        f"`--upsample labels`, in turns, {ROUNDS} rounds, on one machine. The constant engine computes nothing: what",
        "is left is all that is done around a model. All places share the cores, so a second TaskManager can",
        "gain only what the first one leaves idle.",
        "",
        *(f"- {name}: {value}" for name, value in about.items()),
        "",
        "Rates are images a second from the first 15% of masks to `_SUCCESS`, ratios are taken within each round.",
        "",
        "| what | min | **median** | max |",
        "|---|---|---|---|",
    ]
    for row in rows:
        low, middle, high = (row.value[name] for name in ("min", "median", "max"))
        lines.append(f"| {row.what} | {low:.2f} | **{middle:.2f}** | {high:.2f} |")
    lines += ["", "| run (its median round) | images/s | start to first mask, s | whole, s |", "|---|---|---|---|"]
    for name, runs in results.runs.items():
        run = sorted(runs, key=lambda run: run.rate)[len(runs) // 2]
        lines.append(f"| {name} | {run.rate:.0f} | {run.first:.1f} | {run.seconds:.1f} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
