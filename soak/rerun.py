"""How long a rerun takes that finds everything done, over many local images; nothing is decoded, no model is loaded.

Run as `python -m soak.rerun 100000`.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.support.numpy_engine import command
from tests.support.trees import draw


def make_done(folder: Path, count: int) -> list[str]:
    """Makes `count` images and an output in which all of them are done; returns the command line."""
    for start in range(0, count, 1000):
        first = draw(folder / "in" / f"{start:08}" / "0000.png", start)
        for number in range(1, min(1000, count - start)):
            (first.parent / f"{number:04}.png").hardlink_to(first)
    argv = command(str(folder / "in"), str(folder / "out"))
    assert _run(argv)[0] == 0
    return argv


def _run(argv: list[str]) -> tuple[int, float, str]:
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.numpy_engine", *argv], capture_output=True, text=True, check=False
    )
    return done.returncode, time.monotonic() - start, done.stdout + done.stderr


def main(count: int) -> None:
    """Makes an output of `count` images and runs the same command again."""
    with tempfile.TemporaryDirectory() as name:
        start = time.monotonic()
        argv = make_done(Path(name), count)
        print(f"made {count} images and masks in {time.monotonic() - start:.0f} s", flush=True)
        code, seconds, said = _run(argv)
        print(f"a rerun over {count} done images took {seconds:.1f} s and ended with {code}\n{said}")


if __name__ == "__main__":
    main(int(sys.argv[1]))
