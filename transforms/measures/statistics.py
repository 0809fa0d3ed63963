"""How many pixels each class has: a monoid of integers, so that any split of the images sums to the same."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np

from maskbeam.transforms.elements import Array, Labels

# Shares of one image are summed in units of 1e-9.
SHARE = 10**9
# One comparison a class beats a histogram of all values up to here.
_FEW_CLASSES = 24
_BLOCK = 2**18


class Counted(NamedTuple):
    """What is counted of one image; all its statistics follow from it. Small, because a run holds one for each image.

    Attributes:
        pixels: Pixels of each class that is there, by id.
        total: Number of pixels.
        ignored: Pixels that no class owns.
        confidence_sum: As in `PixelStatistics`, and so are the rest.
    """

    pixels: dict[int, int]
    total: int
    ignored: int
    confidence_sum: int = 0
    confidence_pixels: int = 0
    nonfinite: int = 0
    transparent: int = 0
    turned: int = 0
    independent: bool = False

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Counted":
        """Of the statistics of one image, in their JSON form; ValueError when they are none."""
        try:
            pixels = {int(name): int(row[0]) for name, row in values["classes"].items()}
            numbers = {name: int(values.get(name, 0)) for name in cls._fields[1:-1]}
            return cls(pixels, **numbers, independent=bool(values.get("independent")))
        except (KeyError, TypeError, AttributeError, IndexError, OverflowError) as error:
            raise ValueError("these are no pixel statistics") from error


def count(labels: Labels, ids: Sequence[int]) -> Counted:
    """Counts one image.

    Args:
        labels: Label map `[H, W]`, or planes `[C, H, W]` in the order of `ids`.
        ids: The id of each class; any other id is ignored.
    """
    independent, pixels = labels.are_planes, labels.pixels
    counts = [int(np.count_nonzero(plane)) for plane in pixels] if independent else count_pixels(pixels, ids)
    total = pixels[0].size if independent else pixels.size
    return Counted(
        {class_id: pixels for class_id, pixels in zip(ids, counts, strict=True) if pixels},
        total,
        0 if independent else total - sum(counts),
        labels.confidence_sum,
        labels.confidence_pixels,
        labels.nonfinite,
        int("transparency" in labels.origin.facts),
        int("orientation" in labels.origin.facts),
        independent,
    )


@dataclass(frozen=True)
class PixelStatistics:
    """Counts over any number of images. A class that is not held counts as 0, also when two of these are compared.

    Attributes:
        pixels: Pixels of each class, by id.
        images_with: Images that each class appears in.
        shares: Sum over images of a class's share of the labelled pixels, rounded down, in units of 1e-9.
        around: Labelled pixels of the images that each class appears in.
        images: Number of images.
        total: Number of pixels.
        ignored: Pixels that no class owns; `total - ignored` are the labelled pixels.
        confidence_sum: Sum of the winning probability over `confidence_pixels` model pixels, in units of 1/65535.
        confidence_pixels: Model pixels that the confidence was measured on.
        nonfinite: Model pixels with a NaN among their scores.
        transparent: Images with pixels that are not opaque.
        turned: Images whose header says to show them turned or mirrored (EXIF orientation 2 to 8).
        independent: Whether classes are independent of each other, so that shares may add up to more than 1.
    """

    pixels: Counter[int] = field(default_factory=Counter)
    images_with: Counter[int] = field(default_factory=Counter)
    shares: Counter[int] = field(default_factory=Counter)
    around: Counter[int] = field(default_factory=Counter)
    images: int = 0
    total: int = 0
    ignored: int = 0
    confidence_sum: int = 0
    confidence_pixels: int = 0
    nonfinite: int = 0
    transparent: int = 0
    turned: int = 0
    independent: bool = False

    @classmethod
    def zero(cls, ids: Iterable[int] = ()) -> "PixelStatistics":
        """Of no images; classes `ids` are listed in this order in whatever is added to it."""
        return cls(pixels=Counter(dict.fromkeys(ids, 0)))

    @classmethod
    def of(cls, labels: Labels, ids: Sequence[int]) -> "PixelStatistics":
        """Of one image; arguments as in `count`."""
        return cls.sum([count(labels, ids)], ids)

    @classmethod
    def sum(cls, images: Iterable[Counted], ids: Iterable[int] = ()) -> "PixelStatistics":
        """Of many images; classes `ids` are listed first, and in this order."""
        columns = [Counter(dict.fromkeys(ids, 0)), Counter(), Counter(), Counter()]
        pixels, images_with, shares, around = columns
        numbers = dict.fromkeys(_NUMBERS, 0)
        for image in images:
            labelled = max(image.total - image.ignored, 1)
            for class_id, found in image.pixels.items():
                pixels[class_id] += found
                images_with[class_id] += 1
                shares[class_id] += found * SHARE // labelled
                around[class_id] += labelled
            numbers["images"] += 1
            for name, number in zip(image._fields[1:], image[1:], strict=True):
                numbers[name] += number
        return cls._of(columns, numbers)

    def __add__(self, other: "PixelStatistics") -> "PixelStatistics":
        return PixelStatistics(
            _added(self.pixels, other.pixels),
            _added(self.images_with, other.images_with),
            _added(self.shares, other.shares),
            _added(self.around, other.around),
            self.images + other.images,
            self.total + other.total,
            self.ignored + other.ignored,
            self.confidence_sum + other.confidence_sum,
            self.confidence_pixels + other.confidence_pixels,
            self.nonfinite + other.nonfinite,
            self.transparent + other.transparent,
            self.turned + other.turned,
            self.independent or other.independent,
        )

    def to_json(self) -> dict[str, Any]:
        """As JSON values; classes without pixels and numbers that are 0 are left out."""
        plain = {name: int(value) for name in _NUMBERS if (value := getattr(self, name))}
        columns = (self.pixels, self.images_with, self.shares, self.around)
        classes = {str(i): [column[i] for column in columns] for i in sorted(self.pixels) if self.pixels[i]}
        return {**plain, "classes": classes}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "PixelStatistics":
        """What `to_json` gave; ValueError when it is something else."""
        try:
            numbers = {name: int(values.get(name, 0)) for name in _NUMBERS}
            columns: list[Counter[int]] = [Counter(), Counter(), Counter(), Counter()]
            for name, row in values["classes"].items():
                for column, value in zip(columns, row, strict=True):
                    column[int(name)] = int(value)
        except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
            raise ValueError("these are no pixel statistics") from error
        return cls._of(columns, numbers)

    @classmethod
    def _of(cls, columns: Sequence[Counter[int]], numbers: dict[str, int]) -> "PixelStatistics":
        pixels, images_with, shares, around = columns
        independent = bool(numbers.pop("independent"))
        return cls(pixels, images_with, shares, around, **numbers, independent=independent)


_NUMBERS = (
    "images", "total", "ignored", "confidence_sum", "confidence_pixels", "nonfinite", "transparent", "turned",
    "independent",
)  # fmt: skip


def _added(one: Counter[int], other: Counter[int]) -> Counter[int]:
    return Counter({i: one[i] + other[i] for i in {**one, **other}})


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


def statistics(images: Iterable[Labels], ids: Sequence[int]) -> PixelStatistics:
    """Sums over label maps `[H, W]` or planes `[C, H, W]` of classes `ids`."""
    return sum((PixelStatistics.of(labels, ids) for labels in images), PixelStatistics.zero(ids))


class SumStatistics(beam.CombineFn):
    """`Labels` of many images -> their `PixelStatistics`."""

    def __init__(self, ids: Sequence[int]) -> None:
        self._ids = tuple(ids)

    def create_accumulator(self) -> PixelStatistics:
        return PixelStatistics.zero(self._ids)

    def add_input(self, accumulator: PixelStatistics, element: Labels) -> PixelStatistics:
        return accumulator + PixelStatistics.of(element, self._ids)

    def merge_accumulators(self, accumulators: Iterable[PixelStatistics]) -> PixelStatistics:
        return sum(accumulators, self.create_accumulator())

    def extract_output(self, accumulator: PixelStatistics) -> PixelStatistics:
        return accumulator


class Statistics(beam.PTransform[Any, Any]):
    """`Labels` of many images -> one `PixelStatistics`; of none, all zero."""

    def __init__(self, ids: Sequence[int]) -> None:
        super().__init__()
        self._ids = tuple(ids)

    def expand(self, labels: Any) -> Any:
        return labels | "Sum statistics" >> beam.CombineGlobally(SumStatistics(self._ids))
