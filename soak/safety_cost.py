"""What safety costs on a clean run: everything on, against the same run without it, taken in turns.

Off are: waiting for the disk, digests of contents, the watchdog, notes and claims asked for before decoding. Run as
`python -m soak.safety_cost 400 5`: images and rounds, with the sample model over JPEGs of 480 x 360. Compares the
medians of CPU seconds, which a busy machine disturbs least, and of wall seconds.
"""

import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from PIL import Image as Pillow

from maskbeam.pipeline import build
from maskbeam.pipeline.cli.parser import run_options
from maskbeam.pipeline.inputs import anonymous
from maskbeam.pipeline.run import run as run_command
from maskbeam.pipeline.storage import local_storage
from maskbeam.transforms.predict import UNGUARDED
from tests.support.numpy_engine import command
from tests.support.trees import pixels


@contextmanager
def unsafe() -> Iterator[None]:
    """Switches safety off."""
    off: list[tuple[Any, str, Any]] = [
        (local_storage, "SYNC_FILES", False),
        (anonymous, "content_digest", lambda data: "0"),
        (build, "ModelGuard", lambda tree: UNGUARDED),
        (build, "SkipDone", lambda *_: _same),
        (build, "RememberFailure", lambda tree: _same),
    ]
    held = [(place, name, getattr(place, name)) for place, name, _ in off]
    try:
        for place, name, value in off:
            setattr(place, name, value)
        yield
    finally:
        for place, name, value in held:
            setattr(place, name, value)


def _same(element: Any) -> Any:
    return element


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """CPU and wall seconds."""
    wall, cpu = time.monotonic(), time.process_time()
    work()
    return time.process_time() - cpu, time.monotonic() - wall


def main(images: int, rounds: int) -> None:
    """Prints both ratios."""
    folder = Path(tempfile.mkdtemp(prefix="safety-"))
    (folder / "in").mkdir()
    for number in range(images):
        picture = Pillow.fromarray(pixels(number, (9, 12))).resize((480, 360), Pillow.Resampling.BICUBIC)
        picture.save(folder / "in" / f"{number:05}.jpg", quality=90)
    inputs = str(folder / "in")
    taken: dict[str, list[tuple[float, float]]] = {"safe": [], "unsafe": []}

    def run() -> None:
        shutil.rmtree(folder / "out", ignore_errors=True)
        with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
            assert run_command(run_options(command(inputs, str(folder / "out"), "--engine", "tensorflow"))) == 0

    run()
    for _ in range(rounds):
        taken["safe"].append(timed(run))
        with unsafe():
            taken["unsafe"].append(timed(run))
    for place, name in enumerate(("CPU", "wall")):
        safe, without = (statistics.median(each[place] for each in taken[kind]) for kind in ("safe", "unsafe"))
        print(f"{name}: {safe:.2f} s safe, {without:.2f} s without, ratio {safe / without:.3f}")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
