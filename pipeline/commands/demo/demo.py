"""`maskbeam demo`: draws sample scenes, segments them as a user would, and measures the masks against the truth."""

import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from maskbeam.pipeline.classes.class_files import read_class_table
from maskbeam.pipeline.cli.parser import run_options
from maskbeam.pipeline.commands.demo.demo_sheet import draw_comparison, draw_products
from maskbeam.pipeline.commands.demo.sample_input import SAMPLE_CLASSES, SAMPLE_MODEL, scene_id, write_sample
from maskbeam.pipeline.commands.demo.scenes import CLASSES
from maskbeam.pipeline.exit_codes import ExitCode
from maskbeam.pipeline.run import run
from maskbeam.pipeline.text.wording import printable
from maskbeam.transforms.comparison.scores import ious
from maskbeam.transforms.elements import Array

LOWEST_IOU = 0.85


def run_words(words: Sequence[str]) -> int:
    """`maskbeam run` with these words."""
    return run(run_options(words))


def demo(output: str, *, run: Callable[[Sequence[str]], int] = run_words, scenes: int = 60) -> int:
    """Runs the demo; a second time it finds everything done.

    Args:
        output: Folder for everything: `input/`, `truth/`, `result/` and two pictures.
        run: Carries out the words after `maskbeam run`.
        scenes: How many scenes to draw and segment.

    Returns:
        The exit code of the run; 1 also when the masks are worse than they should be.
    """
    root = Path(output)
    _say(printable(f"Sample scenes in {root / 'input'}, their true masks in {root / 'truth'} ..."))
    write_sample(root / "input", root / "truth", scenes=scenes)
    command = _command(root)
    _say(f"\n$ maskbeam run {printable(shlex.join(command))}\n")
    if code := run(command):
        return code
    per_class = measure(root, scenes)
    table = read_class_table(str(SAMPLE_CLASSES), read=lambda path: Path(path).read_bytes())
    draw_comparison(root, scenes, table).save(root / "demo.png")
    draw_products(root, scenes, table).save(root / "products.png")
    _say(_report(Path(printable(str(root))), per_class))
    return ExitCode.DONE if np.mean(per_class) >= LOWEST_IOU else ExitCode.FAILED


def measure(root: Path, scenes: int) -> Array:
    """Intersection over union `[C]` of each class, over all pixels of all scenes."""

    def read(folder: Path, number: int) -> Array:
        return np.asarray(Pillow.open(folder / f"{scene_id(number)}.png"))

    pairs = ((read(root / "truth", number), read(root / "result" / "masks", number)) for number in range(scenes))
    return ious(pairs, len(CLASSES))


def _command(root: Path) -> list[str]:
    """The words that a user would type."""
    return [
        *("--input", str(root / "input" / "*.tfrecord"), "--model", str(_near(SAMPLE_MODEL))),
        *("--classes", str(_near(SAMPLE_CLASSES)), "--products", "all", "--output", str(root / "result")),
    ]


def _near(path: Path) -> Path:
    """The path from here when it lies below, which reads better."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _report(root: Path, per_class: Array) -> str:
    rows = [
        f"  {name:<10} {value:.3f}"
        for name, value in zip((*CLASSES, "mean"), (*per_class, per_class.mean()), strict=True)
    ]
    return "\n".join(
        (
            "\nHow well the masks match the true ones (intersection over union, 1 is perfect):",
            *rows,
            "" if per_class.mean() >= LOWEST_IOU else f"  TOO LOW: at least {LOWEST_IOU} was expected",
            f"Look at {root / 'demo.png'} and {root / 'products.png'} first, then at:",
            f"  {root / 'result' / 'overlay'}   the classes laid over the scenes",
            f"  {root / 'result' / 'color'}     the same as colours",
            f"  {root / 'result' / 'masks'}     the pixel is the class id, for programs",
            f"  {root / 'result' / 'reports'}   counts, shares and what failed",
        )
    )


def _say(text: str) -> None:
    print(text, file=sys.stdout, flush=True)  # noqa: T201 - what the command is for
