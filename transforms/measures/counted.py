"""Counts of one image and sums over a run, of all measures together."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from maskbeam.transforms.elements import Labels
from maskbeam.transforms.measures.measure import Measure, P, S
from maskbeam.transforms.measures.registry import MEASURES

Plain = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Counted:
    """Counts of one image, or of a part of one: parts add up to their image, which then is one image.

    Attributes:
        values: The count of each measure, in the order of `MEASURES`; None where that was not counted.
    """

    values: tuple[Any, ...]

    def __getitem__(self, measure: Measure[P, S]) -> P:
        """A measure's count; KeyError where that was not counted."""
        return _held(self.values, measure)  # type: ignore[no-any-return]

    def __add__(self, other: "Counted") -> "Counted":
        pairs = zip(MEASURES, self.values, other.values, strict=True)
        return Counted(tuple(None if one is None or two is None else each.plus(one, two) for each, one, two in pairs))

    def to_json(self) -> dict[str, Any]:
        """As JSON values, as a mask's record holds them."""
        found: dict[str, Any] = {}
        for measure, count in zip(MEASURES, self.values, strict=True):
            found |= {} if count is None else measure.count_to_json(count)
        return found

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Counted":
        """Reads what `to_json` gave, also of an older version; ValueError when it is something else."""
        try:
            return cls(tuple(measure.count_from_json(values) for measure in MEASURES))
        except (KeyError, TypeError, AttributeError, IndexError, OverflowError) as error:
            raise ValueError("these are no counts of an image") from error

    def to_plain(self) -> Plain:
        """As one row of plain values without zeros at an end: a run holds one of these for each of its images.

        The zeros are cut at its beginning, where rows then pack best.
        """
        zeros = [measure.zero for measure in MEASURES]
        known = [(None,) * len(z) if v is None else v for v, z in zip(self.values, zeros, strict=True)]
        row, usual = list(chain.from_iterable(known)), list(chain.from_iterable(zeros))
        while row and row[-1] == usual[len(row) - 1]:
            row.pop()
        return tuple(row[::-1])

    @classmethod
    def from_plain(cls, plain: Plain) -> "Counted":
        """Restores what `to_plain` was given."""
        zeros = [measure.zero for measure in MEASURES]
        row = iter(plain[::-1] + tuple(chain.from_iterable(zeros))[len(plain) :])
        counts = [tuple(islice(row, len(zero))) for zero in zeros]
        made = [None if c[0] is None else type(z)._make(c) for c, z in zip(counts, zeros, strict=True)]
        return cls(tuple(made))


def count(labels: Labels, ids: Sequence[int]) -> Counted:
    """Counts one image, or a part of it.

    Args:
        labels: Label map `[H, W]`, or planes `[C, H, W]` in the order of `ids`.
        ids: The id of each class; any other id is ignored.
    """
    return Counted(tuple([measure.of(labels, ids) for measure in MEASURES]))


def recount(labels: Labels, ids: Sequence[int], held: Counted) -> Counted:
    """Counts a mask again; what its pixels do not tell, and what was not counted before, is as in `held`."""
    return with_held(count(labels, ids), held)


def with_held(found: Counted, held: Counted) -> Counted:
    """Counts of a mask; what its pixels do not tell, and what was not counted before, is as in `held`."""
    trios = zip(MEASURES, found.values, held.values, strict=True)
    return Counted(tuple(new if m.in_mask and known is not None else known for m, new, known in trios))


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums over any number of images.

    Attributes:
        values: The sum of each measure, in the order of `MEASURES`; None where it was counted of no image.
    """

    values: tuple[Any, ...]

    def __getitem__(self, measure: Measure[P, S]) -> S:
        """A measure's sum; of no image that it was counted of, too."""
        held = self.values[MEASURES.index(measure)]
        return measure.sum([]) if held is None else held

    @property
    def measures(self) -> list[Measure[Any, Any]]:
        """Those that were counted of any image."""
        return [measure for measure, held in zip(MEASURES, self.values, strict=True) if held is not None]

    @classmethod
    def zero(cls) -> "Sums":
        """Over no images."""
        return cls((None,) * len(MEASURES))

    @classmethod
    def over(cls, images: Iterable[tuple[str, Counted]]) -> "Sums":
        """Over images, given with their ids."""
        held = list(images)
        counts = zip(*(counted.values for _, counted in held), strict=True)
        columns = [[(i, c) for (i, _), c in zip(held, column, strict=True) if c is not None] for column in counts]
        if not held:
            return cls.zero()
        return cls(tuple(m.sum(column) if column else None for m, column in zip(MEASURES, columns, strict=True)))

    def __add__(self, other: "Sums") -> "Sums":
        pairs = zip(MEASURES, self.values, other.values, strict=True)
        return Sums(tuple(two if one is None else one if two is None else m.add(one, two) for m, one, two in pairs))

    def to_json(self) -> dict[str, Any]:
        """As JSON values, as the record of a run holds them."""
        found: dict[str, Any] = {}
        for measure in MEASURES:
            found |= measure.to_json(self[measure])
        return found

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Sums":
        """Reads what `to_json` gave, also of an older version; ValueError when it is something else."""
        try:
            return cls(tuple(measure.from_json(values) for measure in MEASURES))
        except (KeyError, TypeError, AttributeError, IndexError, OverflowError) as error:
            raise ValueError("these are no sums of a run") from error


def _held(values: tuple[Any, ...], measure: Measure[Any, Any]) -> Any:
    held = values[MEASURES.index(measure)]
    if held is None:
        raise KeyError(measure.name)
    return held
