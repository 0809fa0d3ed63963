"""Ratios of each class from the integer sums of a run: every ratio of the reports is computed here, once."""

from dataclasses import dataclass

from maskbeam.transforms.classes.class_table import ClassInfo, ClassTable
from maskbeam.transforms.measures.balance import (
    effective_number_weights,
    imbalance_ratios,
    inverse_frequency_weights,
    median_frequency_weights,
)
from maskbeam.transforms.measures.pixel_statistics import SHARE, PixelStatistics


@dataclass(frozen=True)
class ClassSummary:
    """One class of a run. What cannot be told, because the class or any pixel was never seen, is None.

    Attributes:
        info: The class.
        pixels: Pixels of the class.
        share: Of all labelled pixels, which are those without the ignore label.
        images: Images that hold the class.
        mean_share: Mean, over these images, of the class's share of the image's labelled pixels.
        imbalance: How many times rarer than the most frequent class; see `maskbeam.transforms.measures.balance`.
        inverse_frequency: Class weight, see `maskbeam.transforms.measures.balance`.
        median_frequency: Class weight, see `maskbeam.transforms.measures.balance`.
        effective_number: Class weight, see `maskbeam.transforms.measures.balance`.
    """

    info: ClassInfo
    pixels: int
    share: float | None
    images: int
    mean_share: float | None
    imbalance: float | None
    inverse_frequency: float | None
    median_frequency: float | None
    effective_number: float | None


def summarize(table: ClassTable, statistics: PixelStatistics) -> tuple[ClassSummary, ...]:
    """Summaries of all classes, by channel."""
    pixels = [statistics.pixels[i] for i in table.ids]
    columns = zip(
        table.classes,
        pixels,
        imbalance_ratios(pixels),
        inverse_frequency_weights(pixels),
        median_frequency_weights(pixels, [statistics.around[i] for i in table.ids]),
        effective_number_weights(pixels),
        strict=True,
    )
    return tuple(
        ClassSummary(
            info,
            count,
            share=ratio(count, statistics.total - statistics.ignored),
            images=statistics.images_with[info.id],
            mean_share=ratio(statistics.shares[info.id], statistics.images_with[info.id] * SHARE),
            imbalance=imbalance,
            inverse_frequency=inverse,
            median_frequency=median,
            effective_number=effective,
        )
        for info, count, imbalance, inverse, median, effective in columns
    )


def ratio(part: int, whole: int) -> float | None:
    """A share; None of nothing."""
    return part / whole if whole else None
