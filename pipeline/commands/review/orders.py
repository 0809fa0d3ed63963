"""The orders in which images can be reviewed, a line for each: what is held against each image, and its words."""

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass

from maskbeam.pipeline.output.finished import FinishedOutput
from maskbeam.pipeline.output.finished_rows import FinishedImage, damaged
from maskbeam.pipeline.storage import NotFound, join
from maskbeam.pipeline.text.wording import percent
from maskbeam.transforms.errors import RunError
from maskbeam.transforms.measures.review_queue import Candidate, rarity

# Gives an image's candidate; None for one that the order says nothing of.
Scored = Callable[[FinishedImage], Candidate | None]


@dataclass(frozen=True)
class Order:
    """One order.

    Attributes:
        name: The word for it.
        help: What comes first.
        of: Makes the function that gives an image's candidate; raises RunError where the output cannot tell.
    """

    name: str
    help: str
    of: Callable[[FinishedOutput], Scored]


def _by_confidence(output: FinishedOutput) -> Scored:
    def scored(row: FinishedImage) -> Candidate | None:
        cell = row.cells.get("mean_confidence", "")
        if not cell:
            return None
        mean = float(cell)
        return Candidate(mean, row.image_id, row.source.where, mean, f"mean confidence {mean:.3f}")

    if output.settings["head"]["kind"] == "ids":
        raise RunError("--by confidence: this model emits ids and no confidence; choose --by rare")
    return scored


def _by_rare(output: FinishedOutput) -> Scored:
    classes = _classes(output)
    names, pixels, weights = (list(cells) for cells in zip(*classes, strict=True))
    everywhere = sum(pixels) or 1

    def scored(row: FinishedImage) -> Candidate:
        counts = [int(row.cells[f"pixels_{name}"] or 0) for name in names]
        score, labelled = rarity(counts, weights), sum(counts)
        most = max(range(len(names)), key=lambda i: counts[i] * weights[i])
        share = counts[most] / labelled if labelled else 0.0
        why = f"{percent(share)} {names[most]}, which is {percent(pixels[most] / everywhere)} of all"
        return Candidate(-score, row.image_id, row.source.where, score, why if labelled else "no labelled pixel")

    return scored


ORDERS = {
    order.name: order
    for order in (
        Order("confidence", "images of the lowest mean confidence first", _by_confidence),
        Order("rare", "images with most of the classes that are rare in this output first", _by_rare),
    )
}


def _classes(output: FinishedOutput) -> list[tuple[str, int, float]]:
    """Name, pixels in all images and weight of each class; a class that was never seen weighs nothing."""
    uri = join(output.root, "reports/classes.csv")
    try:
        rows = list(csv.DictReader(io.StringIO(output.storage.read(uri).decode(), newline="")))
        found = [(int(row["pixels"]), float(row["weight_inverse_frequency"] or 0)) for row in rows]
    except (NotFound, ValueError, KeyError, TypeError):
        raise damaged(uri) from None
    if len(found) != len(output.classes.names):
        raise damaged(uri)
    return [(name, *each) for name, each in zip(output.classes.names, found, strict=True)]
