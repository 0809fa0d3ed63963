"""Small runs for the tests of reports."""

from typing import Any

import numpy as np

from maskbeam.transforms.classes.class_table import ClassInfo, ClassTable
from maskbeam.transforms.elements import Source
from maskbeam.transforms.measures.statistics import PixelStatistics
from tests.support.elements import made_labels

FIELD = ClassInfo(0, 7, "field", (1, 2, 3))
WATER = ClassInfo(1, 3, "water", (4, 5, 6))
NEVER = ClassInfo(2, 0, "never", (7, 8, 9))
TABLE = ClassTable((FIELD, WATER, NEVER), "table.csv")


def statistics_of(labels: list[list[int]], **known: Any) -> PixelStatistics:
    """Statistics of one label map, given row by row."""
    pixels = np.array(labels, np.uint8)
    return PixelStatistics.of(made_labels("id", Source("w", "v"), pixels, **known), TABLE.ids)


# A 2 x 4 image with two ignored pixels, and a 1 x 2 image.
FIRST = statistics_of([[7, 7, 7, 3], [7, 3, 255, 255]], confidence_sum=65535 * 6, confidence_pixels=8)
SECOND = statistics_of([[7, 7]], confidence_sum=65535, confidence_pixels=2)
BOTH = PixelStatistics.zero(TABLE.ids) + FIRST + SECOND
