"""What every peer does with one image after the model, so that all of them write what maskbeam writes."""

import csv
import json
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image as Pillow

from maskbeam.transforms.codecs.encode import encode_mask
from maskbeam.transforms.elements import Array


class Row(NamedTuple):
    """A line of the report."""

    name: str
    height: int
    width: int
    pixels: tuple[int, ...]


def write_mask(folder: Path, name: str, labels: Array, height: int, width: int, classes: int) -> Row:
    """Brings labels `[h, w]` uint8 to the image's size, counts and writes them, as a grey PNG like maskbeam's."""
    full = np.asarray(Pillow.fromarray(labels).resize((width, height), Pillow.Resampling.NEAREST))
    (folder / f"{name}.png").write_bytes(encode_mask(full))
    return Row(name, height, width, tuple(int(np.count_nonzero(full == i)) for i in range(classes)))


def write_report(output: Path, rows: Iterable[Row]) -> None:
    """Writes a line for each image, then the sums."""
    ordered = sorted(rows)
    with (output / "images.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerows((row.name, row.height, row.width, *row.pixels) for row in ordered)
    sums = np.array([row.pixels for row in ordered]).sum(axis=0).tolist()
    (output / "summary.json").write_text(json.dumps({"images": len(ordered), "pixels": sums}))
