"""Measure: images that were read as rasters, and what a user is to be told of them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from maskbeam.transforms.elements import Labels
from maskbeam.transforms.measures.measure import PlainMeasure


class Rasters(NamedTuple):
    """Of one image 0 or 1, of many how many.

    Attributes:
        rasters: Images that were read as rasters.
        with_labels: Those of them in which a class has a pixel.
        outside_aoi: Those that lie outside of the area of interest.
        many_alphas: Those with a band that is called transparency and has many values.
        offset_left_in: Those whose name tells of an offset in their values, and whose range begins at 0.
    """

    rasters: int = 0
    with_labels: int = 0
    outside_aoi: int = 0
    many_alphas: int = 0
    offset_left_in: int = 0


#: What is told of an image in `Origin.facts`, by the count that it is told for.
FACTS = {
    "rasters": "raster",
    "outside_aoi": "outside aoi",
    "many_alphas": "many alphas",
    "offset_left_in": "offset left in",
}


class _Rasters(PlainMeasure[Rasters, Rasters]):
    name = "rasters"
    kind = Rasters
    in_mask = False

    def of(self, labels: Labels, ids: Sequence[int]) -> Rasters:
        told = {count: int(fact in labels.origin.facts) for count, fact in FACTS.items()}
        return Rasters(**told, with_labels=int(bool(told["rasters"]) and _has_labels(labels, ids)))

    def plus(self, one: Rasters, other: Rasters) -> Rasters:
        return Rasters(*map(max, one, other))

    def summary(self, sums: Rasters) -> dict[str, Any]:
        return {"images": {name: number for name, number in sums._asdict().items() if number}}


def _has_labels(labels: Labels, ids: Sequence[int]) -> bool:
    first = labels.pixels.flat[0]
    # Pixels without data have one value: most images are told by their first pixel, and only those by all of them.
    return bool(labels.are_planes or first in ids or (labels.pixels != first).any())


#: What is to be known of rasters.
RASTERS = _Rasters()
