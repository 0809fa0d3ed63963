"""The outline of a scene on the earth, as GeoJSON has it (RFC 7946): longitudes and latitudes, counterclockwise.

A scene that crosses the antimeridian is cut there into a MultiPolygon, as the standard asks (3.1.9), so that its type
says it; one with a pole inside reaches from one end of the map to the other, and to that pole.
"""

from typing import Any

import numpy as np

from maskbeam.transforms.elements import Array, Grid
from maskbeam.transforms.geo.systems import LON_LAT, horizontal, on_ground, transformed

# A straight edge of a map is bent on another one: so many pieces of each edge of a scene are straight.
_PIECES = 32
# Decimals of a degree that are written: a centimetre (RFC 7946, section 11.2, asks for no more than is needed).
_DECIMALS = 7


def footprint(grid: Grid | None, size: tuple[int, int]) -> dict[str, Any] | None:
    """The outline of an image of this height and width.

    Returns:
        A GeoJSON geometry, `Polygon` or `MultiPolygon`; None where the grid has no coordinate system that is told on
        the earth, or a part of the outline has no place there.
    """
    ring = outline(grid, size, LON_LAT)
    if ring is None:
        return None
    parts = [_closed(part) for part in _cut(around_pole(unwrapped(ring)))]
    parts = [part for part in parts if len(part) > 3]
    if not parts:
        return None
    if len(parts) == 1:
        return {"type": "Polygon", "coordinates": parts}
    return {"type": "MultiPolygon", "coordinates": [[part] for part in parts]}


def outline(grid: Grid | None, size: tuple[int, int], crs: str) -> Array | None:
    """Points `[N, 2]` around an image, from the top left corner on and not back to it, in another system.

    Returns:
        x and y of each; None as in `footprint`.
    """
    if grid is None:
        return None
    height, width = size
    step = np.linspace(0, 1, _PIECES, endpoint=False)
    rest, zero, one = 1 - step, np.zeros(_PIECES), np.ones(_PIECES)
    columns, rows = np.concatenate([step, one, rest, zero]), np.concatenate([zero, step, one, rest])
    points = on_ground(np.stack([columns * width, rows * height], axis=1), grid.transform)
    try:
        if not (horizontal(grid.crs).is_geographic or horizontal(grid.crs).is_projected):
            return None
        found = transformed(points, grid.crs, crs)
    except ValueError:
        return None
    return found if np.isfinite(found).all() else None


def unwrapped(ring: Array) -> Array:
    """The same points `[N, 2]` in longitude and latitude, with longitudes beyond 180 degrees in place of a leap."""
    longitudes = np.unwrap(ring[:, 0], period=360)
    middle = 360 * np.round((longitudes.min() + longitudes.max()) / 720)
    return np.stack([longitudes - middle, np.clip(ring[:, 1], -90, 90)], axis=1)


def around_pole(ring: Array) -> Array:
    """The same ring `[N, 2]`, with the edge of the map along a pole where the ring goes around that."""
    turn = np.unwrap([ring[-1, 0], ring[0, 0]], period=360)
    over = turn[1] - ring[0, 0]
    if abs(over) < 180:
        return ring
    pole = np.copysign(90, ring[:, 1].mean())
    first, last = ring[0] + np.array([over, 0]), ring[0]
    return np.concatenate([ring, [first, (first[0], pole), (last[0], pole)]])


def _cut(ring: Array) -> list[Array]:
    """The parts of a ring that lie on one side of the antimeridian each, at longitudes of -180 to 180."""
    parts = []
    for turn in (-360, 0, 360):
        moved = ring + np.array([turn, 0])
        inside = clipped(clipped(moved, 0, -180, keep=1), 0, 180, keep=-1)
        if len(inside) and np.ptp(inside[:, 0]) > 0:
            parts.append(inside)
    return parts


def clipped(ring: Array, axis: int, edge: float, *, keep: int) -> Array:
    """The part of a ring `[N, 2]` on one side of a line (Sutherland and Hodgman, 1974).

    Args:
        ring: Its points, the first not again at the end.
        axis: 0 for a line of this x, 1 for one of this y.
        edge: Where it is.
        keep: 1: the larger side; -1: the smaller one.
    """
    there = np.roll(ring, -1, axis=0)
    inside = (ring[:, axis] - edge) * keep >= 0
    crosses = inside != np.roll(inside, -1)
    way = np.where(crosses, there[:, axis] - ring[:, axis], 1)
    crossings = ring + ((edge - ring[:, axis]) / way)[:, None] * (there - ring)
    crossings[:, axis] = edge
    # Each point, then where the edge from it crosses the line: those of them that are part of it.
    return np.asarray(np.stack([ring, crossings], axis=1)[np.stack([inside, crosses], axis=1)])


def _closed(ring: Array) -> list[list[float]]:
    """A ring as GeoJSON has it: counterclockwise, without points twice in a row, the first one again at its end."""
    x, y = ring[:, 0], ring[:, 1]
    doubled_area = float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))
    points = [[float(value) for value in point] for point in np.round(ring, _DECIMALS) + 0.0]
    points = points if doubled_area > 0 else points[::-1]
    kept = [point for point, before in zip(points, [points[-1], *points[:-1]], strict=True) if point != before]
    return [*kept, kept[0]] if kept else []
