"""Runs the soak tests: `python -m soak`, or a share of their counts with `--share 0.05`."""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from soak.faults import fail_calls
from soak.kills import kill_gcs, kill_local, kill_scenes
from soak.mutations import mutate_images, mutate_shards

# What is done, how often, and what the number means that comes back.
PARTS: dict[str, tuple[Callable[[int, int, Path], int], int, str]] = {
    "kills_local": (kill_local, 200, "died half way"),
    "kills_gcs": (kill_gcs, 200, "died half way"),
    "kills_scenes": (kill_scenes, 40, "died half way"),
    "images": (mutate_images, 8000, "still decoded"),
    "shards": (mutate_shards, 2000, "records kept"),
    "faults": (fail_calls, 20, "runs that gave up and were repeated"),
}


def soak(parts: list[str], *, share: float, seed: int, folder: Path) -> None:
    """Runs some parts with a share of their full counts; an AssertionError says what went wrong, and where."""
    for part in parts:
        run, full, meaning = PARTS[part]
        count = max(1, round(full * share))
        start = time.monotonic()
        number = run(count, seed, folder / part)
        print(f"{part}: {count} done, {number} {meaning}, {time.monotonic() - start:.0f} s", flush=True)


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m soak", description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"any of {', '.join(PARTS)} [all]")
    parser.add_argument("--share", type=float, default=1.0, help="share of the full counts")
    parser.add_argument("--seed", type=int, default=0)
    values = parser.parse_args(argv)
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    print(f"working in {folder}", flush=True)
    soak(values.parts or list(PARTS), share=values.share, seed=values.seed, folder=folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
