"""Small runs for the tests of reports."""

from typing import Any

import numpy as np

from maskbeam.transforms.classes.class_table import ClassInfo, ClassTable
from maskbeam.transforms.elements import Source
from maskbeam.transforms.measures.counted import Counted, Sums, count
from maskbeam.transforms.measures.measure import Measure
from maskbeam.transforms.measures.registry import MEASURES
from tests.support.elements import made_labels

FIELD = ClassInfo(0, 7, "field", (1, 2, 3))
WATER = ClassInfo(1, 3, "water", (4, 5, 6))
NEVER = ClassInfo(2, 0, "never", (7, 8, 9))
TABLE = ClassTable((FIELD, WATER, NEVER), "table.csv")


def counted_of(labels: list[list[int]], **known: Any) -> Counted:
    """The counts of one label map, given row by row."""
    pixels = np.array(labels, np.uint8)
    return count(made_labels("id", Source("w", "v"), pixels, **known), TABLE.ids)


def sums_of(*images: Counted) -> Sums:
    return Sums.over((f"id{number}", counted) for number, counted in enumerate(images))


def statistics_of(labels: list[list[int]], **known: Any) -> Sums:
    """The sums over one label map."""
    return sums_of(counted_of(labels, **known))


def counted_with(counts: dict[Measure[Any, Any], Any]) -> Counted:
    """Counts of some measures, and nothing of all others."""
    return Counted(tuple(counts.get(measure, measure.zero) for measure in MEASURES))


def sums_with(counts: dict[Measure[Any, Any], Any], others: Sums | None = None) -> Sums:
    """Sums of some measures, and others of all others."""
    held = (others or Sums.zero()).values
    return Sums(tuple(counts.get(measure, value) for measure, value in zip(MEASURES, held, strict=True)))


# A 2 x 4 image with two ignored pixels, and a 1 x 2 image.
FIRST = counted_of([[7, 7, 7, 3], [7, 3, 255, 255]], confidence_sum=65535 * 6, confidence_pixels=8)
SECOND = counted_of([[7, 7]], confidence_sum=65535, confidence_pixels=2)
BOTH = sums_of(FIRST, SECOND)
