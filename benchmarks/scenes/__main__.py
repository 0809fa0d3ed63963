"""Windows measured: `python -m benchmarks.scenes [--quick] [--only PART ...]`, or `make bench-scenes`."""

import argparse
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

from benchmarks import table
from benchmarks.scenes.inputs import BANDS, CLASSES, SIZE
from benchmarks.scenes.parts import FULL, PARTS, QUICK, Parts
from benchmarks.table import Row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small pictures and one round: under ten minutes")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--rounds", type=int, help="how often all take turns [3; quick: 1]")
    parser.add_argument("--long_rounds", type=int, help="the same of parts that take long [3; quick: 1]")
    parser.add_argument("--work", type=Path, default=Path("benchmarks/out"), help="folder for data and outputs")
    parser.add_argument("--results", type=Path, help="folder for the results [benchmarks/results; quick: in --work]")
    given = parser.parse_args()
    results = given.results or (given.work / "results" if given.quick else Path("benchmarks/results"))
    # Converted models are kept here too, so that nothing of earlier runs is used.
    os.environ["XDG_CACHE_HOME"] = str((given.work / "cache").absolute())
    scale = QUICK if given.quick else FULL
    asked = {name: number for name in ("rounds", "long_rounds") if (number := getattr(given, name))}
    parts = Parts(given.work.absolute(), replace(scale, **asked))
    about, rows = table.machine(), list[Row]()
    try:
        for part in given.only:
            rows += getattr(parts, part)()
            # What was measured is kept, whatever becomes of the parts that take longer.
            write(results, sorted(rows, key=lambda row: row.number), parts, about)
    finally:
        shutil.rmtree(parts.output, ignore_errors=True)
    print((results / "scenes.md").read_text())


def write(folder: Path, rows: list[Row], parts: Parts, about: dict[str, str]) -> None:
    """Writes the results as JSON and as a page."""
    folder.mkdir(parents=True, exist_ok=True)
    about |= {"load when it ended": f"{os.getloadavg()[0]:.1f}"}
    stored = {
        "machine": about,
        "rows": [{**asdict(row), "verdict": row.verdict} for row in rows],
        "not measured": parts.left_out,
        "runs": parts.said,
    }
    (folder / "scenes.json").write_text(json.dumps(stored, indent=1) + "\n")
    (folder / "scenes.md").write_text("\n".join(page(rows, parts, about)))


def page(rows: list[Row], parts: Parts, about: dict[str, str]) -> Iterator[str]:
    """The lines of the results as a page of markdown."""
    yield "# What windows cost"
    yield ""
    yield f"Made by `make bench-scenes`: GeoTIFFs of {BANDS} bands of 16 bits, tiled and compressed, of drawn scenes,"
    yield f"a MobileNetV2 U-Net of {SIZE} x {SIZE} x {BANDS} and {CLASSES} classes, `--resize tile`; TensorFlow, but"
    yield "row 4 has the engine that a user gets, its probe kept by an earlier job."
    yield "Everything was measured in turns, in processes of their own, on one machine. Rounds:"
    yield f"{parts.scale.rounds}, and {parts.scale.long_rounds} of scenes of over 4,096 a side."
    yield ""
    yield from (f"- {name}: {value}" for name, value in about.items())
    yield ""
    yield "A job's time is from its first window to the last file of its report, start-up left out."
    yield "Ratios are taken within each round. Where other work shares the machine, the processors' seconds say more"
    yield "than the wall's: a job of more threads gets more of the cores."
    yield ""
    yield from table.rows_of(rows)
    yield from (f"| {row} | not measured: {why} | | | | | | |" for row, why in parts.left_out)
    yield ""
    yield "| run (of the middle round) | seconds | CPU seconds | from its last window on, s | peak MB | load |"
    yield "|---|---|---|---|---|---|"
    yield from _runs(parts)
    yield ""


def _runs(parts: Parts) -> Iterator[str]:
    for name, said in parts.said.items():
        jobs = sorted((each for each in said if "job" in each), key=lambda each: float(each["job"]["seconds"]))
        if jobs:
            one = jobs[len(jobs) // 2]
            after = f"{one['after']['seconds']:.2f}" if "after" in one else ""
            cells = (
                f"{one['job']['seconds']:.1f}",
                f"{one['job']['cpu']:.1f}",
                after,
                f"{one['peak_mb']:.0f}",
                f"{one['load']:.1f}",
            )
            yield f"| {name} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
