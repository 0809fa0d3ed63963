"""Measure: how sure the model was, over the pixels that it gave."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from maskbeam.transforms.classes.class_table import ClassTable
from maskbeam.transforms.elements import Labels
from maskbeam.transforms.measures.class_summary import ratio
from maskbeam.transforms.measures.measure import Cell, PlainMeasure

# One certain pixel in the units of `confidence_sum`.
_CERTAIN = 65535


class Confidence(NamedTuple):
    """Confidence of an image, or of many.

    Attributes:
        confidence_sum: Sum of the winning probability over `confidence_pixels` model pixels, in units of 1/65535.
        confidence_pixels: Model pixels that the confidence was measured on; 0 of a model without probabilities.
    """

    confidence_sum: int = 0
    confidence_pixels: int = 0

    @property
    def mean(self) -> float | None:
        """Mean probability, 0..1, of what the model decided for; None where it gives no probabilities."""
        return ratio(self.confidence_sum, self.confidence_pixels * _CERTAIN)


class _Confidence(PlainMeasure[Confidence, Confidence]):
    name = "confidence"
    kind = Confidence
    in_mask = False
    definitions = {"mean_confidence": "mean over model pixels of the probability of what was decided for"}  # noqa: RUF012

    def of(self, labels: Labels, ids: Sequence[int]) -> Confidence:
        return Confidence(labels.confidence_sum, labels.confidence_pixels)

    def image_columns(self, table: ClassTable) -> dict[str, type]:
        return {"mean_confidence": float}

    def image_values(self, count: Confidence, table: ClassTable) -> list[Cell]:
        return [count.mean]

    def summary(self, sums: Confidence) -> dict[str, Any]:
        return {"mean_confidence": sums.mean}


#: Confidence.
CONFIDENCE = _Confidence()
