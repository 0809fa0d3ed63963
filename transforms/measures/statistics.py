"""Sums of what is counted of images, as steps of a graph."""

from collections.abc import Iterable, Sequence
from typing import Any

import apache_beam as beam

from maskbeam.transforms.elements import Labels
from maskbeam.transforms.measures.counted import Sums, count


def statistics(images: Iterable[Labels], ids: Sequence[int]) -> Sums:
    """Sums over label maps `[H, W]` or planes `[C, H, W]` of classes `ids`."""
    return Sums.over((labels.image_id, count(labels, ids)) for labels in images)


class SumStatistics(beam.CombineFn):
    """`Labels` of many images -> their `Sums`."""

    def __init__(self, ids: Sequence[int]) -> None:
        self._ids = tuple(ids)

    def create_accumulator(self) -> Sums:
        return Sums.zero()

    def add_input(self, accumulator: Sums, element: Labels) -> Sums:
        return accumulator + statistics([element], self._ids)

    def merge_accumulators(self, accumulators: Iterable[Sums]) -> Sums:
        return sum(accumulators, self.create_accumulator())

    def extract_output(self, accumulator: Sums) -> Sums:
        return accumulator


class Statistics(beam.PTransform[Any, Any]):
    """`Labels` of many images -> one `Sums`; of none, all zero."""

    def __init__(self, ids: Sequence[int]) -> None:
        super().__init__()
        self._ids = tuple(ids)

    def expand(self, labels: Any) -> Any:
        return labels | "Sum statistics" >> beam.CombineGlobally(SumStatistics(self._ids))
