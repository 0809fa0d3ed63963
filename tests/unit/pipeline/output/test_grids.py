import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskbeam.pipeline.output.claim import Claim, Record, parse_record, record_text
from maskbeam.pipeline.output.grids import grid_of, grid_record, is_grid
from maskbeam.transforms.elements import Grid, GroundPoint, GroundPoints

CLAIM = Claim("a" * 32, "1", "b", "c", "d")
FINITE = st.floats(allow_nan=False, allow_infinity=False)
EMPTY: dict[str, Any] = {"classes": {}}


def stored(grid: Any) -> Record | None:
    return parse_record(record_text(Record(CLAIM, 3, 4, EMPTY, grid=grid))["maskbeam"])


@given(st.tuples(FINITE, FINITE, FINITE, FINITE, FINITE, FINITE), st.text())
def test_a_grid_comes_back_from_a_record_digit_by_digit(transform: Any, crs: str) -> None:
    grid = Grid(crs, transform)
    record = stored(grid_record(grid))
    assert record is not None
    assert grid_of(record.grid) == grid


def test_points_come_back_as_their_system_and_any_other_point_changes_their_digest() -> None:
    points = (GroundPoint(0, 0, 1, 2), GroundPoint(5, 0, 1, 3))
    said = grid_record(GroundPoints("EPSG:4326", points))
    assert grid_of(said) == GroundPoints("EPSG:4326", ())
    assert said == grid_record(GroundPoints("EPSG:4326", tuple(GroundPoint(*map(float, p)) for p in points)))
    assert said != grid_record(GroundPoints("EPSG:4326", (points[0], points[1]._replace(z=1.0))))


def test_a_plain_picture_says_nothing_of_it() -> None:
    assert grid_record(None) == {}
    assert "grid" not in json.loads(record_text(Record(CLAIM, 3, 4, EMPTY))["maskbeam"])


@pytest.mark.parametrize(
    "values",
    [
        None,
        [],
        {"crs": "x"},
        {"crs": 5, "transform": [0] * 6},
        {"crs": "", "transform": [0] * 5},
        {"crs": "", "transform": [0] * 5 + ["0"]},
        {"crs": "", "transform": [0] * 5 + [float("inf")]},
        {"crs": "", "points": 7},
        {"crs": "", "transform": [0] * 6, "points": ""},
    ],
)
def test_a_record_with_something_else_is_none(values: Any) -> None:
    assert not is_grid(values)
    assert stored(values or [1]) is None
