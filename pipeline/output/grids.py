"""The place of a scene on the earth as its record has it: its own, not as a GeoTIFF spells it again.

JSON values: `crs` as WKT, and `transform`, six numbers; or `points`, a digest of the ground control points that are
in the place of a transform.
"""

import math
from collections.abc import Mapping
from typing import Any

from maskbeam.pipeline.digests import digest
from maskbeam.transforms.elements import Grid, GroundPoint, GroundPoints


def grid_record(grid: Grid | GroundPoints | None) -> dict[str, Any]:
    """The JSON values of a place; empty where there is none."""
    if grid is None:
        return {}
    if isinstance(grid, GroundPoints):
        return {"crs": grid.crs, "points": points_digest(grid.points)}
    return {"crs": grid.crs, "transform": list(map(float, grid.transform))}


def points_digest(points: tuple[GroundPoint, ...]) -> str:
    """A digest of ground control points, in their order."""
    return digest(repr([tuple(map(float, point)) for point in points]))


def grid_of(values: Mapping[str, Any]) -> Grid | GroundPoints | None:
    """The place that `grid_record` was given, of points their system alone; None where it was none."""
    if "transform" not in values:
        return GroundPoints(values["crs"], ()) if values else None
    a, b, c, d, e, f = map(float, values["transform"])
    return Grid(values["crs"], (a, b, c, d, e, f))


def is_grid(values: Any) -> bool:
    """True for what `grid_record` may have given: records may be data of others."""
    if not isinstance(values, dict):
        return False
    transform = values.get("transform", [0.0] * 6)
    return (
        values.keys() in (set(), {"crs", "transform"}, {"crs", "points"})
        and isinstance(values.get("crs", ""), str)
        and isinstance(values.get("points", ""), str)
        and isinstance(transform, list)
        and len(transform) == 6
        and all(type(number) in (int, float) and math.isfinite(number) for number in transform)
    )
