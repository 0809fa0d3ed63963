"""Measure: the ground that classes cover, of images that have a place on the earth."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from maskbeam.transforms.classes.class_table import ClassTable
from maskbeam.transforms.elements import Grid, Labels
from maskbeam.transforms.geo.area import area_by_class, area_method
from maskbeam.transforms.geo.systems import system_name
from maskbeam.transforms.measures.measure import Cell, Measure

_MM2_OF_KM2 = 10**12
# More square millimetres than the earth has, and more than pixels of a run may add up to.
_ENDLESS = 1 << 96
_BETWEEN = ", "


class Area(NamedTuple):
    """The ground of an image, or of many. Of an image without a place on the earth it is all empty, and never 0.

    Attributes:
        by_class: Square millimetres of each class that is there, by id: integers, so that parts add up.
        images: Of one image 1 where its areas can be told, of many how many these are.
        method: How areas were computed, one of `transforms/geo/area.py`; of many images all that were used.
        crs: The coordinate system of one image, as people name it.
    """

    by_class: dict[int, int] = {}  # noqa: RUF012 - the count of nothing; counts are added, never altered
    images: int = 0
    method: str = ""
    crs: str = ""


class _Area(Measure[Area, Area]):
    name = "area"
    kind = Area
    on_earth = True
    class_columns = ("area_km2",)
    definitions = {  # noqa: RUF012
        "area_km2": "ground of the class in square kilometres, in images whose coordinate system tells lengths; "
        "on the map of a projected system, on the ellipsoid of others and of Mercators",
    }

    def of(self, labels: Labels, ids: Sequence[int]) -> Area:
        grid = labels.origin.grid
        if grid is None:
            return self.zero
        crs = system_name(grid.crs)
        if not isinstance(grid, Grid) or not area_method(grid):
            return Area(crs=crs)
        return Area(_by_class(labels, ids, grid), 1, area_method(grid), crs)

    def plus(self, one: Area, other: Area) -> Area:
        return Area(_added([one, other]), max(one.images, other.images), one.method, one.crs)

    def sum(self, images: Sequence[tuple[str, Area]]) -> Area:
        counts = [count for _, count in images]
        return Area(_added(counts), sum(count.images for count in counts), _methods(counts))

    def add(self, one: Area, other: Area) -> Area:
        return self.sum([("", one), ("", other)])

    def count_to_json(self, count: Area) -> dict[str, Any]:
        return {} if count == self.zero else super().count_to_json(count)

    def to_json(self, sums: Area) -> dict[str, Any]:
        return self.count_to_json(sums)

    def count_from_json(self, values: Mapping[str, Any]) -> Area:
        return _read(values[self.name]) if self.name in values else self.zero

    def from_json(self, values: Mapping[str, Any]) -> Area:
        return self.count_from_json(values)

    def image_columns(self, table: ClassTable) -> dict[str, type]:
        return {"crs": str, "area_method": str, **{f"area_km2_{name}": float for name in table.names}}

    def image_values(self, count: Area, table: ClassTable) -> list[Cell]:
        return [count.crs or None, count.method or None, *_cells(count, table)]

    def class_values(self, sums: Area, table: ClassTable) -> list[list[Cell]]:
        return [[cell] for cell in _cells(sums, table)]

    def summary(self, sums: Area) -> dict[str, Any]:
        return {"area": {"images": sums.images, "method": sums.method}}


def km2(area: Area, class_id: int) -> float | None:
    """Square kilometres of a class; None where areas could be told of no image."""
    return area.by_class.get(class_id, 0) / _MM2_OF_KM2 if area.images else None


def _cells(area: Area, table: ClassTable) -> list[Cell]:
    return [km2(area, class_id) for class_id in table.ids]


def _by_class(labels: Labels, ids: Sequence[int], grid: Grid) -> dict[int, int]:
    if labels.are_planes:
        planes = zip(ids, labels.pixels, strict=True)
        found = {i: (area_by_class(plane.view("uint8"), labels.region, grid) or {}).get(1, 0) for i, plane in planes}
    else:
        areas = area_by_class(labels.pixels, labels.region, grid) or {}
        found = {i: areas.get(i, 0) for i in ids}
    return {i: area for i, area in found.items() if area}


def _added(areas: Iterable[Area]) -> dict[int, int]:
    found: dict[int, int] = {}
    for area in areas:
        for class_id, part in area.by_class.items():
            found[class_id] = found.get(class_id, 0) + part
    return found


def _methods(areas: Iterable[Area]) -> str:
    return _BETWEEN.join(sorted({each for area in areas if area.method for each in area.method.split(_BETWEEN)}))


def _read(values: Any) -> Area:
    """The area that JSON holds: it may be data of others, and areas are larger than other counts."""
    if not isinstance(values, dict) or values.keys() != set(Area._fields):
        raise ValueError("these are no areas")
    by_class = {_number(i): _number(area) for i, area in values["by_class"].items()}
    if not all(isinstance(values[name], str) for name in ("method", "crs")):
        raise ValueError("these are no areas")
    return Area(by_class, _number(values["images"]), values["method"], values["crs"])


def _number(value: Any) -> int:
    number = int(value)
    if not 0 <= number < _ENDLESS:
        raise ValueError("no area")
    return number


#: Areas by class.
AREA = _Area()
