"""Measure: the pixels of each class, and what follows from them: shares, images and weights."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from maskbeam.transforms.classes.class_table import ClassTable
from maskbeam.transforms.elements import Labels
from maskbeam.transforms.measures.class_summary import summarize
from maskbeam.transforms.measures.measure import Cell, Measure, number_of
from maskbeam.transforms.measures.pixel_statistics import Pixels, PixelStatistics, count_pixels


class _Pixels(Measure[Pixels, PixelStatistics]):
    name = "classes"
    kind = Pixels
    class_columns = (
        "pixels",
        "share",
        "images",
        "mean_share_where_present",
        "imbalance_ratio",
        "weight_inverse_frequency",
        "weight_median_frequency",
        "weight_effective_number",
    )
    definitions = {  # noqa: RUF012
        "share": "pixels of the class / labelled pixels; labelled are all pixels but those that no class owns",
        "mean_share_where_present": "mean, over the images that hold the class, of its share of their labelled "
        "pixels",
        "imbalance_ratio": "pixels of the most frequent class / pixels of the class",
        "weight_inverse_frequency": "n / (C n_c) over the C classes seen; the mean weight over all pixels is 1",
        "weight_median_frequency": "median(f) / f_c, f_c = pixels of the class / labelled pixels of images with it",
        "weight_effective_number": "(1 - beta) / (1 - beta^n_c), beta = (N - 1) / N, N = all pixels; scaled so "
        "that the mean weight over the classes seen is 1",
    }

    def of(self, labels: Labels, ids: Sequence[int]) -> Pixels:
        if labels.are_planes:
            counts = [int(np.count_nonzero(plane)) for plane in labels.pixels]
            return Pixels(_present(ids, counts), labels.pixels[0].size, 0, True)
        counts, total = count_pixels(labels.pixels, ids), labels.pixels.size
        return Pixels(_present(ids, counts), total, total - sum(counts))

    def sum(self, images: Sequence[tuple[str, Pixels]]) -> PixelStatistics:
        return PixelStatistics.sum(count for _, count in images)

    def add(self, one: PixelStatistics, other: PixelStatistics) -> PixelStatistics:
        return one + other

    def count_to_json(self, count: Pixels) -> dict[str, Any]:
        return PixelStatistics.sum([count]).to_json()

    def count_from_json(self, values: Mapping[str, Any]) -> Pixels:
        by_class = {number_of(name): number_of(row[0]) for name, row in values["classes"].items()}
        total, ignored, independent = (number_of(values.get(name, 0)) for name in Pixels._fields[1:])
        return Pixels(by_class, total, ignored, bool(independent))

    def to_json(self, sums: PixelStatistics) -> dict[str, Any]:
        return sums.to_json()

    def from_json(self, values: Mapping[str, Any]) -> PixelStatistics:
        return PixelStatistics.from_json(values)

    def image_columns(self, table: ClassTable) -> dict[str, type]:
        return {"ignored": int, **{f"pixels_{name}": int for name in table.names}}

    def image_values(self, count: Pixels, table: ClassTable) -> list[Cell]:
        return [count.ignored, *(count.by_class.get(i, 0) for i in table.ids)]

    def class_values(self, sums: PixelStatistics, table: ClassTable) -> list[list[Cell]]:
        return [
            [
                each.pixels,
                each.share,
                each.images,
                each.mean_share,
                each.imbalance,
                each.inverse_frequency,
                each.median_frequency,
                each.effective_number,
            ]
            for each in summarize(table, sums)
        ]

    def summary(self, sums: PixelStatistics) -> dict[str, Any]:
        pixels = {"total": sums.total, "labelled": sums.total - sums.ignored, "ignored": sums.ignored}
        return {"pixels": pixels, "shares_may_exceed_1": sums.independent}


def _present(ids: Sequence[int], counts: Sequence[int]) -> dict[int, int]:
    return {class_id: pixels for class_id, pixels in zip(ids, counts, strict=True) if pixels}


#: Pixels by class.
PIXELS = _Pixels()
