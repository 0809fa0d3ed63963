"""Pixels of each class: a monoid of integers, so that any split of the images sums to the same."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

import numpy as np

from maskbeam.transforms.elements import Array
from maskbeam.transforms.measures.measure import number_of

# Shares of one image are summed in units of 1e-9.
SHARE = 10**9
# One comparison a class beats a histogram of all values up to here.
_FEW_CLASSES = 24
_BLOCK = 2**18


class Pixels(NamedTuple):
    """The pixels of one image.

    Attributes:
        by_class: Pixels of each class that is there, by id.
        total: Number of pixels.
        ignored: Pixels that no class owns.
        independent: Whether classes are independent of each other, so that a pixel may be of several.
    """

    by_class: dict[int, int] = {}  # noqa: RUF012 - the count of nothing; counts are added, never altered
    total: int = 0
    ignored: int = 0
    independent: bool = False


@dataclass(frozen=True)
class PixelStatistics:
    """Pixels of any number of images. A class that is not held counts as 0, also when two of these are compared.

    Attributes:
        pixels: Pixels of each class, by id.
        images_with: Images that each class appears in.
        shares: Sum over images of a class's share of the labelled pixels, rounded down, in units of 1e-9.
        around: Labelled pixels of the images that each class appears in.
        images: Number of images.
        total: Number of pixels.
        ignored: Pixels that no class owns; `total - ignored` are the labelled pixels.
        independent: Whether classes are independent of each other, so that shares may add up to more than 1.
    """

    pixels: Counter[int] = field(default_factory=Counter)
    images_with: Counter[int] = field(default_factory=Counter)
    shares: Counter[int] = field(default_factory=Counter)
    around: Counter[int] = field(default_factory=Counter)
    images: int = 0
    total: int = 0
    ignored: int = 0
    independent: bool = False

    @classmethod
    def sum(cls, images: Iterable[Pixels]) -> "PixelStatistics":
        """Of many images, each counted as a whole."""
        pixels, images_with, shares, around = columns = _zeros()
        number = total = ignored = 0
        independent = False
        for image in images:
            labelled = max(image.total - image.ignored, 1)
            for class_id, found in image.by_class.items():
                pixels[class_id] += found
                images_with[class_id] += 1
                shares[class_id] += found * SHARE // labelled
                around[class_id] += labelled
            number, total, ignored = number + 1, total + image.total, ignored + image.ignored
            independent |= image.independent
        return cls(*columns, number, total, ignored, independent)

    def __add__(self, other: "PixelStatistics") -> "PixelStatistics":
        pairs = [(getattr(self, each.name), getattr(other, each.name)) for each in fields(self)]
        return PixelStatistics(
            *(one | other if isinstance(one, bool) else _added(one, other) for one, other in pairs)
        )

    def to_json(self) -> dict[str, Any]:
        """As JSON values; classes without pixels and numbers that are 0 are left out."""
        plain = {name: int(value) for name in _NUMBERS if (value := getattr(self, name))}
        columns = (self.pixels, self.images_with, self.shares, self.around)
        classes = {str(i): [column[i] for column in columns] for i in sorted(self.pixels) if self.pixels[i]}
        return {**plain, "classes": classes}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "PixelStatistics":
        """Reads what `to_json` gave; ValueError, TypeError, AttributeError or KeyError when it is something else."""
        columns = _zeros()
        for name, row in values["classes"].items():
            for column, value in zip(columns, row, strict=True):
                column[int(name)] = int(value)
        images, total, ignored, independent = (number_of(values.get(name, 0)) for name in _NUMBERS)
        return cls(*columns, images, total, ignored, bool(independent))


Columns = tuple[Counter[int], Counter[int], Counter[int], Counter[int]]


def _zeros() -> Columns:
    return Counter(), Counter(), Counter(), Counter()


_NUMBERS = ("images", "total", "ignored", "independent")


def _added(one: Any, other: Any) -> Any:
    # Not Counter's own sum, which drops what is 0.
    return Counter({i: one[i] + other[i] for i in {**one, **other}}) if isinstance(one, Counter) else one + other


def count_pixels(labels: Array, ids: Sequence[int]) -> list[int]:
    """Counts the pixels of each class, in the order of `ids`.

    Args:
        labels: Class ids uint8 or uint16 `[...]`.
        ids: The ids to count.
    """
    if len(ids) <= _FEW_CLASSES:
        return [int(np.count_nonzero(labels == i)) for i in ids]
    values = int(np.iinfo(labels.dtype).max) + 1
    flat, histogram = labels.reshape(-1), np.zeros(values, np.int64)
    # bincount widens what it counts to 64 bits, hence block by block.
    for start in range(0, flat.size, _BLOCK):
        histogram += np.bincount(flat[start : start + _BLOCK], minlength=values)
    return [int(n) for n in histogram[list(ids)]]
