"""A measure: something that is counted of labels, image by image, and summed over a run."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from heapq import nsmallest
from typing import Any, Generic, TypeVar

from maskbeam.transforms.classes.class_table import ClassTable
from maskbeam.transforms.elements import Labels

Cell = str | int | float | None
# Counts of one image, and sums over images.
P = TypeVar("P")
S = TypeVar("S")
# More than any image has pixels, files have bytes, or confidences sum up to.
ENDLESS = 1 << 62


class Measure(Generic[P, S]):
    """One measure. Those that are registered in `MEASURES` are counted of every image, and are in all reports.

    What is counted of an image travels in its mask, and a run holds it for each of its images: a small NamedTuple of
    integers, flags and integers by class id, each with its default. Such counts need `name`, `kind` and `of`, and
    whatever the reports are to show; sums of another kind than counts also need `sum`, `add`, `to_json`, `from_json`.

    Attributes:
        name: What its counts are called in a mask's record and in the record of a run.
        kind: The class of its counts; called without arguments it is the count of nothing.
        in_mask: Whether a mask's pixels tell it, so that `verify` can count it again.
        on_earth: Whether it is of places on the earth alone, and in no report of plain pictures.
        class_columns: Columns of `classes.csv`.
        definitions: Of what it computes, in words, by name.
    """

    name: str
    kind: type[P]
    in_mask: bool = True
    on_earth: bool = False
    class_columns: tuple[str, ...] = ()
    definitions: Mapping[str, str] = {}

    def __eq__(self, other: object) -> bool:
        # A copy that was sent to another process is the same measure.
        return isinstance(other, Measure) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)

    @cached_property
    def zero(self) -> P:
        """The count of nothing."""
        return self.kind()

    def of(self, labels: Labels, ids: Sequence[int]) -> P:
        """Counts an image, or a part of one.

        Args:
            labels: Label map `[H, W]`, or planes `[C, H, W]` in the order of `ids`.
            ids: The id of each class.
        """
        raise NotImplementedError

    def plus(self, one: P, other: P) -> P:
        """The count of two parts of one image."""
        return self._make(map(_added, _fields(one), _fields(other)))

    def sum(self, images: Sequence[tuple[str, P]]) -> S:
        """The sum over images, given with their ids; over none it is what sums start with."""
        columns = zip(*(count for _, count in images), strict=True)
        return self._make(map(_sum, columns))  # type: ignore[return-value]

    def add(self, one: S, other: S) -> S:
        """The sum over two sets of images."""
        return self._make(map(_added, _fields(one), _fields(other)))  # type: ignore[return-value]

    def count_to_json(self, count: P) -> dict[str, Any]:
        """The count as a mask's record holds it: JSON values by name, no name that another measure has."""
        return {self.name: _to_json(count)}

    def count_from_json(self, values: Mapping[str, Any]) -> P | None:
        """The count in a record; None where it was not counted, as by an older version.

        Raises:
            ValueError: It is something else.
        """
        return self._from_json(values[self.name]) if self.name in values else None

    def to_json(self, sums: S) -> dict[str, Any]:
        """Sums as `count_to_json` gives counts."""
        return {self.name: _to_json(sums)}

    def from_json(self, values: Mapping[str, Any]) -> S | None:
        """Reads what `to_json` gave; ValueError when it is something else."""
        return self._from_json(values[self.name]) if self.name in values else None  # type: ignore[return-value]

    def image_columns(self, table: ClassTable) -> dict[str, type]:
        """Columns of the images report: `int`, `float` or `str` by name."""
        return {}

    def image_values(self, count: P, table: ClassTable) -> list[Cell]:
        """Cells of one image in these columns."""
        return []

    def class_values(self, sums: S, table: ClassTable) -> list[list[Cell]]:
        """Cells of each class, by channel, in `class_columns`."""
        return [[] for _ in table.classes]

    def summary(self, sums: S) -> dict[str, Any]:
        """The part of `summary.json` that this measure writes, by name; objects of one name are put together."""
        return {}

    def _make(self, values: Iterable[Any]) -> P:
        return self.kind(*values)

    def _from_json(self, values: Any) -> P:
        usual = self.zero._asdict()  # type: ignore[attr-defined]
        if not isinstance(values, dict) or values.keys() != usual.keys():
            raise ValueError(f"these are no counts of {self.name}")
        return self._make(_read(values[field], kind=type(usual[field])) for field in usual)


class PlainMeasure(Measure[P, S]):
    """A measure whose numbers stand side by side with others' in a record, and are left out where they are 0."""

    def count_to_json(self, count: P) -> dict[str, Any]:
        return self.to_json(count)  # type: ignore[arg-type]

    def count_from_json(self, values: Mapping[str, Any]) -> P | None:
        return self.from_json(values)  # type: ignore[return-value]

    def to_json(self, sums: S) -> dict[str, Any]:
        return {field: int(value) for field, value in _to_json(sums).items() if value}

    def from_json(self, values: Mapping[str, Any]) -> S | None:
        usual = self.zero._asdict()  # type: ignore[attr-defined]
        return self._make(_read(values.get(field, 0), kind=type(usual[field])) for field in usual)  # type: ignore[return-value]


def least(ranked: Iterable[tuple[Any, str]], count: int) -> tuple[tuple[Any, str], ...]:
    """The first images of a ranking, the ids of images beside their values: of any split of it, the same."""
    return tuple(nsmallest(count, ranked))


def _fields(counts: Any) -> tuple[Any, ...]:
    return tuple(counts)


def _added(one: Any, other: Any) -> Any:
    if isinstance(one, bool):
        return one or other
    if isinstance(one, dict):
        return {key: one.get(key, 0) + other.get(key, 0) for key in {**one, **other}}
    return one + other


def _sum(column: Sequence[Any]) -> Any:
    if isinstance(column[0], bool):
        return any(column)
    if isinstance(column[0], dict):
        sums: dict[int, int] = {}
        for by_class in column:
            for class_id, number in by_class.items():
                sums[class_id] = sums.get(class_id, 0) + number
        return sums
    return sum(column)


def _to_json(counts: Any) -> dict[str, Any]:
    return {
        field: {str(key): value[key] for key in sorted(value)} if isinstance(value, dict) else value
        for field, value in counts._asdict().items()
    }


def _read(value: Any, *, kind: type) -> Any:
    """A number, a flag or numbers by class, as JSON holds it; it may be data of others."""
    if kind is dict:
        return {number_of(key): number_of(number) for key, number in value.items()}
    return bool(value) if kind is bool else number_of(value)


def number_of(value: Any) -> int:
    """A count; ValueError for what no count can be."""
    number = int(value)
    if not 0 <= number < ENDLESS:
        raise ValueError("no count")
    return number
