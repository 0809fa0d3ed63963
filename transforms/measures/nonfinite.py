"""Measure: model pixels without a number."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from maskbeam.transforms.elements import Labels
from maskbeam.transforms.measures.measure import PlainMeasure


class Nonfinite(NamedTuple):
    """Model pixels with a NaN among their scores, of an image or of many."""

    nonfinite: int = 0


class _Nonfinite(PlainMeasure[Nonfinite, Nonfinite]):
    name = "nonfinite"
    kind = Nonfinite
    in_mask = False

    def of(self, labels: Labels, ids: Sequence[int]) -> Nonfinite:
        return Nonfinite(labels.nonfinite)

    def summary(self, sums: Nonfinite) -> dict[str, Any]:
        return {"pixels": {"nonfinite_model_pixels": sums.nonfinite}}


#: Pixels that are NaN.
NONFINITE = _Nonfinite()
