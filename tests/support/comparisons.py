"""Outputs with truths beside them, for comparisons; and their right values by loops over pixels."""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from maskbeam.pipeline.cli.commands import COMMANDS
from maskbeam.pipeline.cli.parser import parse
from maskbeam.pipeline.compare.compare import compare
from maskbeam.transforms.elements import Array
from tests.support.numpy_engine import command, run_numpy
from tests.support.plain_script import read_pixels
from tests.support.trees import draw_folder, save

IGNORED = 255


def finished(folder: Path, count: int = 25) -> Path:
    """`in/`, `out/` and `truth/` in a folder: masks of three classes, and a truth that differs here and there."""
    draw_folder(folder / "in", count)
    assert run_numpy(command(str(folder / "in"), str(folder / "out"))) == 0
    rng = np.random.default_rng(7)
    for mask in sorted((folder / "out" / "masks").iterdir()):
        truth = read_pixels(mask).copy()
        truth[rng.random(truth.shape) < rng.random() / 2] = rng.integers(0, 2)
        truth[:2, : rng.integers(16)] = IGNORED
        save(folder / "truth" / mask.name, truth)
    return folder


def go(out: Path, *words: str) -> int:
    """`maskbeam compare` of an output."""
    return compare(**parse(COMMANDS["compare"], [str(out), *words]))


def pairs(truth: Path, masks: Path) -> Iterator[tuple[str, Counter[tuple[int, int]]]]:
    """By id, how many pixels are of each true class and of each class of the mask; class 3 stands for none."""
    for path in sorted(truth.iterdir()):
        known = zip(read_pixels(path).ravel().tolist(), read_pixels(masks / path.name).ravel().tolist(), strict=True)
        yield path.stem, Counter((t, min(m, 3)) for t, m in known if t != IGNORED)


def iou(cells: Counter[tuple[int, int]], c: int) -> float | None:
    """Intersection over union of a class; None where it is nowhere."""
    both, either = cells[c, c], sum(n for pair, n in cells.items() if c in pair)
    return both / either if either else None


def boundary_iou(truth: Path, masks: Path, c: int) -> float:
    """Boundary IoU of a class over all images of 16 x 16, whose boundaries are one pixel wide."""
    both = either = 0
    for path in sorted(truth.iterdir()):
        known, mask = read_pixels(path), read_pixels(masks / path.name)
        there = [_boundary((pixels == c) & (known != IGNORED)) for pixels in (known, mask)]
        both += len(there[0] & there[1])
        either += len(there[0] | there[1])
    return both / either


def _boundary(mask: Array) -> set[tuple[int, int]]:
    inside = {(y, x) for y, x in zip(*(each.tolist() for each in np.nonzero(mask)), strict=True)}
    around = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)]
    return {(y, x) for y, x in inside if any((y + dy, x + dx) not in inside for dy, dx in around)}


def mean(values: Iterable[float | None]) -> float:
    there = [value for value in values if value is not None]
    return sum(there) / len(there)


def die_after(writes: int, words: list[str]) -> None:
    """Runs a comparison in this process, which is killed when it is about to write for the so-manieth time."""
    import os
    import signal

    from maskbeam.pipeline.compare import comparison
    from maskbeam.pipeline.storage.local_storage import LocalStorage

    comparison.PART_IMAGES = 4
    count, write = iter(range(writes)), LocalStorage.write

    def counted(*args: Any, **named: Any) -> str:
        if next(count, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
        return write(*args, **named)

    LocalStorage.write = counted  # type: ignore[method-assign]
    go(Path(words[0]), *words[1:])


if __name__ == "__main__":
    die_after(int(sys.argv[1]), sys.argv[2:])
