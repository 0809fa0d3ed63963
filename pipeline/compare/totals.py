"""Sums over a whole comparison: a monoid of integers, so that any split of the images gives the same."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import apache_beam as beam
import numpy as np

from maskbeam.pipeline.compare.comparison import Comparison
from maskbeam.pipeline.compare.part import Part, Row
from maskbeam.transforms.comparison.bootstrap import FEWEST_GROUPS, weighted_sums
from maskbeam.transforms.comparison.flow import NOTHING, Flow, joined, of_classes
from maskbeam.transforms.comparison.image_means import image_sums, own_shares
from maskbeam.transforms.comparison.scores import shares
from maskbeam.transforms.elements import Array

#: So many images are drawn, those with the lowest scores.
WORST = 16
# Rows whose counts by class are held at once.
_ROWS = 250


class Low(NamedTuple):
    """An image with a low score; in the order of scores, then of digests of ids, so that no folder comes first.

    Attributes:
        share: Its mIoU in whole numbers of 1e-9.
        digest: Of its id.
        image_id: Its id.
        where: The place of its source.
    """

    share: int
    digest: str
    image_id: str
    where: str


@dataclass(frozen=True, eq=False)
class Totals:
    """Sums over images.

    Attributes:
        flow: All pixels.
        shares: Int64 `[C + 1, 2]`: the sum of each class's IoU over images, in whole numbers of 1e-9, and the number
            of images that have it in one of the two; last, the same of the images' own means.
        boundary: Int64 `[C, 3]`: pixels at boundaries, as `of_classes` has them; zeros where nobody asked.
        replicated: Int64 `[B, C, 3]`: `of_classes` in each replicate of the bootstrap.
        groups: The smallest digests of groups, as many as tell whether there are enough.
        worst: Images with the lowest scores.
        compared: Images that were compared.
        known: Of these, images whose reference knows some pixel.
        without_reference: Images that have no reference.
        failed: Failures by code.
        parts: Parts that hold an image.
    """

    flow: Flow
    shares: Array
    boundary: Array
    replicated: Array
    groups: tuple[str, ...] = ()
    worst: tuple[Low, ...] = ()
    compared: int = 0
    known: int = 0
    without_reference: int = 0
    failed: dict[str, int] = field(default_factory=dict)
    parts: frozenset[int] = frozenset()

    @classmethod
    def zero(cls, comparison: Comparison) -> "Totals":
        """The sums over no image."""
        replicated = np.zeros((comparison.replicates, comparison.count, 3), np.int64)
        sums, boundary = np.zeros((comparison.count + 1, 2), np.int64), np.zeros((comparison.count, 3), np.int64)
        return cls(NOTHING, sums, boundary, replicated)

    @classmethod
    def of(cls, part: Part, comparison: Comparison) -> "Totals":
        """The sums over a part."""
        zero = cls.zero(comparison)
        summed, replicated = zero.shares, zero.replicated
        low: list[Low] = []
        for start in range(0, len(part.rows), _ROWS):
            rows = part.rows[start : start + _ROWS]
            counts = np.stack([of_classes(row.flow, comparison.count) for row in rows])
            found = shares(counts)
            summed += image_sums(found)
            low = lowest(
                [*low, *(_low(row, share) for row, share in zip(rows, own_shares(found).tolist(), strict=True))]
            )
            if comparison.with_intervals:
                groups = [comparison.group_of(row.image_id) for row in rows]
                replicated += weighted_sums(groups, counts, comparison.replicates)
        return cls(
            joined([row.flow for row in part.rows]),
            summed,
            sum((row.boundary_counts(comparison.count) for row in part.rows), zero.boundary),
            replicated,
            _smallest(_digest(comparison.group_of(row.image_id)) for row in part.rows if len(row.flow.pairs)),
            tuple(low),
            compared=len(part.rows),
            known=sum(len(row.flow.pairs) > 0 for row in part.rows),
            without_reference=part.without_reference,
            failed=_counted(each.code for each in part.failed),
            parts=frozenset((part.number,)),
        )

    def __add__(self, other: "Totals") -> "Totals":
        return Totals(
            joined([self.flow, other.flow]),
            self.shares + other.shares,
            self.boundary + other.boundary,
            self.replicated + other.replicated,
            _smallest([*self.groups, *other.groups]),
            tuple(lowest([*self.worst, *other.worst])),
            self.compared + other.compared,
            self.known + other.known,
            self.without_reference + other.without_reference,
            {
                code: self.failed.get(code, 0) + other.failed.get(code, 0)
                for code in sorted({*self.failed, *other.failed})
            },
            self.parts | other.parts,
        )

    @property
    def images(self) -> int:
        """Images that came to an end, one way or another."""
        return self.compared + self.without_reference + sum(self.failed.values())


class SumTotals(beam.CombineFn):
    """Adds up parts as `Totals`."""

    def __init__(self, comparison: Comparison) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._comparison = comparison

    def create_accumulator(self) -> Totals:
        return Totals.zero(self._comparison)

    def add_input(self, accumulator: Totals, element: Part) -> Totals:
        return accumulator + Totals.of(element, self._comparison)

    def merge_accumulators(self, accumulators: Iterable[Totals]) -> Totals:
        return sum(accumulators, self.create_accumulator())

    def extract_output(self, accumulator: Totals) -> Totals:
        return accumulator


def lowest(images: Iterable[Low]) -> list[Low]:
    """The images with the lowest scores, of those that have one."""
    return sorted(each for each in images if each.share >= 0)[:WORST]


def _low(row: Row, share: int) -> Low:
    return Low(share, _digest(row.image_id), row.image_id, row.where)


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8, person=b"sample").hexdigest()


def _smallest(digests: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(digests))[:FEWEST_GROUPS])


def _counted(codes: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for code in codes:
        counts[code] = counts.get(code, 0) + 1
    return counts
