"""The pixels of a scene whose centre lies in polygons: an area of interest.

Edges are straight in the polygons' own system, longitudes and latitudes mostly, and so bent on most maps: each is cut
so fine that it is straight there to a sixteenth of a pixel. Inside is what a ray crosses an odd number of edges to
leave, so that holes, rings in either direction and polygons that cross themselves have a rule.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from maskbeam.transforms.elements import Array, Grid, Region
from maskbeam.transforms.geo.footprint import around_pole, clipped, outline, unwrapped
from maskbeam.transforms.geo.geojson import Aoi
from maskbeam.transforms.geo.systems import horizontal, in_pixels, on_ground, transformed

# How far a piece of an edge may lie from where it belongs, in pixels, and how often an edge is halved for it.
_TOLERANCE, _HALVINGS = 1 / 16, 20
# What of the polygons is kept around a scene, in parts of its own extent: what lies farther is nothing to its pixels.
_MARGIN = 0.05
_KEPT = 64


def inside(aoi: Aoi, grid: Grid, size: tuple[int, int], region: Region) -> Array:
    """The pixels of a region whose centre is inside, bool `[h, w]`; the same ones in every division of an image.

    Args:
        aoi: The polygons.
        grid: Of the image.
        size: Its height and width.
        region: The part that is wanted.

    Raises:
        ValueError: The grid has no place on the earth.
    """
    found = np.zeros(region.size, np.bool_)
    for edges in _edges(aoi, grid, size):
        found |= _odd(edges, region)
    return found


def touches(aoi: Aoi, grid: Grid, size: tuple[int, int]) -> bool:
    """True if a pixel of an image may be inside; ValueError as in `inside`."""
    height, width = size
    for edges in _edges(aoi, grid, size):
        (left, top), (right, bottom) = edges.reshape(-1, 2).min(axis=0), edges.reshape(-1, 2).max(axis=0)
        if left < width and right > 0 and top < height and bottom > 0:
            return True
    return False


@lru_cache(_KEPT)
def _edges(aoi: Aoi, grid: Grid, size: tuple[int, int]) -> tuple[Array, ...]:
    """Edges `[N, 2, 2]` of each polygon near an image, from column and row to column and row of that, downwards."""
    around = outline(grid, size, aoi.crs)
    if around is None:
        raise ValueError("an area of interest needs images with a place on the earth")
    is_round = bool(horizontal(aoi.crs).is_geographic)
    around = around_pole(unwrapped(around)) if is_round else around
    box = _box(around, np.array([np.inf, 90 if is_round else np.inf]))
    way = _Way(aoi.crs, grid, size, float(around[:, 0].mean()))
    found = []
    for polygon in aoi.polygons:
        for turn in (-360, 0, 360) if is_round else (0,):
            rings = [_within_box(np.array(ring) + np.array([turn, 0]), box) for ring in polygon]
            edges = [_straight(ring, way) for ring in rings if len(ring)]
            if edges:
                found.append(_downwards(np.concatenate(edges)))
    return tuple(found)


def _box(around: Array, poles: Array) -> Array:
    """The ground of an image and a little more, as two corners; never as far as a pole that is not part of it."""
    low, high = around.min(axis=0), around.max(axis=0)
    margin = _MARGIN * (high - low) + 1e-9
    return np.array([np.maximum(low - margin, (low - poles) / 2), np.minimum(high + margin, (high + poles) / 2)])


def _within_box(ring: Array, box: Array) -> Array:
    for axis in (0, 1):
        for edge, keep in ((box[0, axis], 1), (box[1, axis], -1)):
            ring = clipped(ring, axis, edge, keep=keep)
    return ring


@dataclass(frozen=True)
class _Way:
    """From a document's system to an image's pixels; `middle` is the image's x in the document's system."""

    crs: str
    grid: Grid
    size: tuple[int, int]
    middle: float

    def __call__(self, points: Array) -> Array:
        """Points `[N, 2]` as columns and rows.

        Raises:
            ValueError: The image's system has no place for one.
        """
        found = transformed(points, self.crs, self.grid.crs)
        if not np.isfinite(found).all():
            raise ValueError("an area of interest reaches beyond what the image's coordinate system can tell")
        if horizontal(self.grid.crs).is_geographic:
            found = self._turned(found, points)
        return in_pixels(found, self.grid.transform)

    def _turned(self, found: Array, points: Array) -> Array:
        """The same with longitudes as this image counts them, which may be from 0 to 360, or beyond 180 degrees."""
        full = 2 * np.pi / horizontal(self.grid.crs).axis_info[0].unit_conversion_factor
        centre = np.array([[self.size[1] / 2, self.size[0] / 2]])
        wanted = on_ground(centre, self.grid.transform)[0, 0]
        if horizontal(self.crs).is_geographic:
            wanted = wanted + (points[:, 0] - self.middle) / 360 * full
        return np.stack([found[:, 0] + full * np.round((wanted - found[:, 0]) / full), found[:, 1]], axis=1)


def _straight(ring: Array, way: _Way) -> Array:
    """The edges of a ring in columns and rows, cut until they are straight there."""
    here, there = ring, np.roll(ring, -1, axis=0)
    for _ in range(_HALVINGS):
        middle = (here + there) / 2
        bent = _bent(here, there, way)
        if not bent.any():
            break
        first, last = (here[bent], middle[bent]), (middle[bent], there[bent])
        here, there = np.concatenate([here[~bent], *first]), np.concatenate([there[~bent], *last])
    return np.stack([way(here), way(there)], axis=1)


def _bent(here: Array, there: Array, way: _Way) -> Array:
    """True if edges leave the straight line between their ends: bool `[N]`, as three points of each tell."""
    first, last, off = way(here), way(there), np.zeros(len(here))
    for share in (0.25, 0.5, 0.75):
        found, straight = (one * (1 - share) + other * share for one, other in ((here, there), (first, last)))
        off = np.maximum(off, np.abs(way(found) - straight).max(axis=1))
    return off > _TOLERANCE


def _downwards(edges: Array) -> Array:
    """The same, each from its upper end to its lower one."""
    return np.where((edges[:, :1, 1:] > edges[:, 1:, 1:]), edges[:, ::-1], edges)


def _odd(edges: Array, region: Region) -> Array:
    """The pixels of a region that have an odd number of edges `[N, 2, 2]` to the left of their centre."""
    # Each edge changes, in all rows whose centres it passes, the state of all pixels to its right.
    changes = np.zeros((region.height, region.width + 1), np.bool_)
    first = np.clip(np.ceil(edges[:, 0, 1] - 0.5) - region.top, 0, region.height).astype(np.int64)
    last = np.clip(np.ceil(edges[:, 1, 1] - 0.5) - region.top, 0, region.height).astype(np.int64)
    near = (first < last) & (edges[:, :, 0].min(axis=1) < region.left + region.width)
    for ((x0, y0), (x1, y1)), begin, end in zip(edges[near], first[near], last[near], strict=True):
        rows = np.arange(begin, end)
        crossings = x0 + (rows + region.top + 0.5 - y0) / (y1 - y0) * (x1 - x0)
        columns = np.clip(np.ceil(crossings - 0.5) - region.left, 0, region.width).astype(np.int64)
        changes[rows, columns] ^= True
    return np.asarray(np.logical_xor.accumulate(changes[:, :-1], axis=1))
