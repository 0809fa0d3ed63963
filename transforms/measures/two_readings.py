"""Measure: images that can be read in two ways, by their transparency or their orientation."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from maskbeam.transforms.elements import Labels
from maskbeam.transforms.measures.measure import PlainMeasure


class TwoReadings(NamedTuple):
    """Of one image 0 or 1, of many how many.

    Attributes:
        transparent: Images with pixels that are not opaque.
        turned: Images whose header says to show them turned or mirrored (EXIF orientation 2 to 8).
    """

    transparent: int = 0
    turned: int = 0


class _TwoReadings(PlainMeasure[TwoReadings, TwoReadings]):
    name = "two_readings"
    kind = TwoReadings
    in_mask = False

    def of(self, labels: Labels, ids: Sequence[int]) -> TwoReadings:
        return TwoReadings(int("transparency" in labels.origin.facts), int("orientation" in labels.origin.facts))

    def plus(self, one: TwoReadings, other: TwoReadings) -> TwoReadings:
        return TwoReadings(*map(max, one, other))

    def summary(self, sums: TwoReadings) -> dict[str, Any]:
        return {"images": sums._asdict()}


#: Images that can be read in two ways.
TWO_READINGS = _TwoReadings()
