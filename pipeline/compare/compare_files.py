"""The text of a comparison's files: pure functions, the same bytes for the same masks, references and options."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np

from maskbeam.pipeline.compare.comparison import Comparison
from maskbeam.pipeline.compare.part import FailedRow, Row
from maskbeam.pipeline.compare.totals import Totals
from maskbeam.pipeline.exit_codes import ExitCode
from maskbeam.pipeline.reports.packed import in_order
from maskbeam.pipeline.text.csv_text import csv_line
from maskbeam.pipeline.text.json_text import json_text
from maskbeam.transforms.classes.class_table import hex_color
from maskbeam.transforms.comparison.bootstrap import FEWEST_GROUPS, MOST_CLASSES, interval, ious, means
from maskbeam.transforms.comparison.scores import SHARE, ClassScores, Scores, mean
from maskbeam.transforms.measures.class_summary import ratio
from maskbeam.transforms.measures.measure import Cell

Interval = tuple[float, float]
#: Scores of a whole comparison, by the names that `--require` and `summary.json` have for them.
DEFINITIONS = {
    "miou": "mean over classes of IoU: pixels that have the class in both, over pixels that have it in either; sums "
    "over all images first. Classes that neither has are left out",
    "miou_classes_in_reference": "the same over the classes that the reference has",
    "mdice": "mean over classes of Dice: 2 x pixels in both, over the sum of the pixels in each",
    "pixel_accuracy": "share of known pixels whose class is right",
    "mean_class_accuracy": "mean over the reference's classes of recall: share of a class's pixels that is found",
    "frequency_weighted_iou": "mean of IoU, each class weighted by its pixels in the reference",
    "coverage": "share of known pixels that have a class in the masks; the others are misses",
    "boundary_miou": "with --boundary: mean over classes of Boundary IoU (Cheng et al., 2021): IoU of the pixels "
    "that lie at a boundary of the class",
    "miou_image_mean": "mean over images of the mean IoU of each; single images are rounded down to 1e-9",
}
IMAGES = ("id", "width", "height", "source", "known", "correct", "abstained", "classes", "miou", "pixel_accuracy")
FLOW = ("from_id", "from", "to_id", "to", "pixels", "images")
CLASSES = (
    *(
        "id",
        "name",
        "color",
        "iou",
        "iou_low",
        "iou_high",
        "dice",
        "precision",
        "recall",
        "boundary_iou",
        "iou_image_mean",
        "images",
    ),
    *("pixels_both", "pixels_reference", "pixels_labels"),
)


@dataclass(frozen=True)
class Found:
    """All that a comparison found, ratios included."""

    comparison: Comparison
    totals: Totals

    @cached_property
    def scores(self) -> Scores:
        """Scores of all pixels."""
        return Scores.of(self.totals.flow, self.comparison.count)

    @cached_property
    def values(self) -> dict[str, float | None]:
        """The value of each of `DEFINITIONS`."""
        own: dict[str, float | None] = {
            name: getattr(self.scores, name) for name in DEFINITIONS if hasattr(self.scores, name)
        }
        return {
            **own,
            "boundary_miou": mean(c.iou for c in self.boundaries),
            "miou_image_mean": self.image_mean(self.comparison.count),
        }

    @cached_property
    def boundaries(self) -> list[ClassScores]:
        """Scores of each class's boundaries; of none where nobody asked."""
        return [ClassScores(*each) for each in self.totals.boundary.tolist()]

    def image_mean(self, index: int) -> float | None:
        """The mean over images of a class's IoU; at C of the images' own means."""
        total, number = map(int, self.totals.shares[index])
        return ratio(total, number * SHARE)

    @cached_property
    def without_intervals(self) -> str | None:
        """The reason why there are no intervals; None where there are."""
        if not self.comparison.with_intervals:
            return f"there are {self.comparison.count:,} classes, and over {MOST_CLASSES:,} none are computed"
        number = len(self.totals.groups)
        if number < FEWEST_GROUPS:
            what = "groups" if self.comparison.group_by else "images"
            return f"{number} {what} have a known pixel, and of fewer than {FEWEST_GROUPS} none are told"
        return None

    @cached_property
    def miou_interval(self) -> Interval | None:
        """The interval of mIoU."""
        return None if self.without_intervals else interval(means(self._replicated))

    def iou_interval(self, index: int) -> Interval | None:
        """The interval of a class's IoU."""
        return None if self.without_intervals else interval(self._replicated[:, index])

    @cached_property
    def _replicated(self) -> Any:
        return ious(self.totals.replicated)

    @property
    def unused_references(self) -> int | None:
        """References of no image; None where nobody can know."""
        total = self.comparison.references.total
        if total is None or self.comparison.limit is not None:
            return None
        return max(0, total - self.totals.compared - sum(self.totals.failed.values()))

    @property
    def missed(self) -> list[str]:
        """The scores that are below what is required, in words."""
        return [
            f"{name} is {'unknown' if value is None else format(value, '.4f')}, below {least:g}"
            for name, least in self.comparison.required
            if (value := self.values[name]) is None or value < least
        ]


def images_csv(rows: Iterable[Row], count: int) -> Iterator[str]:
    """A line for the header and one for each image, sorted by id; all of a report, or one shard of it."""
    lines = ((row.image_id, csv_line(_image_values(row, count))) for row in rows)
    return chain([csv_line(IMAGES)], (line for _, line in in_order(lines)))


def failures_jsonl(failed: Iterable[FailedRow]) -> Iterator[str]:
    """One JSON object a line: id, where, code, reason; sorted by id."""
    for each in sorted(failed):
        held = {"id": each.image_id, "where": each.where, "code": each.code, "reason": each.reason}
        yield json_text(held) + "\n"


def classes_csv(found: Found) -> str:
    """One row per class, by channel. Cells are empty where nothing can be said."""
    return csv_line(CLASSES) + "".join(csv_line(_class_values(found, at)) for at in range(found.comparison.count))


def flow_csv(found: Found) -> str:
    """One row per pair of classes that occurs, most pixels first; to no class where the masks abstain."""
    flow, classes, count = found.totals.flow, found.comparison.output.classes.classes, found.comparison.count
    # `lexsort` takes its last key first.
    order = np.lexsort((flow.pairs, -flow.pixels)).tolist()
    lines = []
    for at in order:
        reference, labels = divmod(int(flow.pairs[at]), count + 1)
        source = classes[reference]
        to: list[Cell] = [classes[labels].id, classes[labels].name] if labels < count else [None, None]
        lines.append(csv_line([source.id, source.name, *to, int(flow.pixels[at]), int(flow.images[at])]))
    return csv_line(FLOW) + "".join(lines)


def summary_json(found: Found, worst: Sequence[Mapping[str, Any]], words: Sequence[str], code: ExitCode) -> str:
    """The whole comparison: what was compared, what was assumed, scores, and what they mean."""
    comparison = found.comparison
    content = {
        "reference": {
            "option": comparison.flag,
            "where": comparison.where,
            "is": "true" if comparison.flag == "--truth" else "old labels",
        },
        "assumed": list(comparison.references.words),
        "sample": None if comparison.limit is None else {"images": comparison.limit, "seed": comparison.seed},
        "images": counts_of(found),
        "pixels": {
            "known": found.scores.known,
            "correct": found.scores.correct,
            "abstained": found.scores.abstained,
        },
        "scores": found.values,
        "classes_in_mean": found.scores.seen,
        "share_changed": None if found.scores.pixel_accuracy is None else 1 - found.scores.pixel_accuracy,
        "intervals": {
            "miou": found.miou_interval,
            "level": 0.95,
            "of": f"groups of ids with the same first {comparison.group_by} parts"
            if comparison.group_by
            else "images",
            "replicates": comparison.replicates,
            "none_because": found.without_intervals,
        },
        "required": dict(comparison.required),
        "missed": found.missed,
        "exit_code": int(code),
        "in_words": list(words),
        "definitions": DEFINITIONS,
        "worst": list(worst),
    }
    return json_text(content, indent=2) + "\n"


def counts_of(found: Found) -> dict[str, Any]:
    """Numbers of images by what became of them; they add up to `of`."""
    totals = found.totals
    return {
        "of": totals.images,
        "compared": totals.compared,
        "without_known_pixels": totals.compared - totals.known,
        "without_reference": totals.without_reference,
        "failed": totals.failed,
        "unused_references": found.unused_references,
    }


def _image_values(row: Row, count: int) -> list[Cell]:
    scores = Scores.of(row.flow, count)
    return [
        *(row.image_id, row.width, row.height, row.where),
        *(scores.known, scores.correct, scores.abstained, scores.seen, scores.miou, scores.pixel_accuracy),
    ]


def _class_values(found: Found, index: int) -> list[Cell]:
    info, scores = found.comparison.output.classes.classes[index], found.scores.classes[index]
    return [
        *(info.id, info.name, hex_color(info.color), scores.iou),
        *(found.iou_interval(index) or (None, None)),
        *(scores.dice, scores.precision, scores.recall, found.boundaries[index].iou),
        *(found.image_mean(index), int(found.totals.shares[index, 1])),
        *(scores.both, scores.reference, scores.labels),
    ]
