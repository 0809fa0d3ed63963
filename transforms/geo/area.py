"""The ground that pixels cover, in square millimetres: integers, so that any division of a scene sums to the same.

A pixel of a projected system has the area that its transform says, in that system's unit. Where rows are parallels,
in longitudes and latitudes and in cylindrical projections such as Web Mercator, a degree or a metre of the map is
another length in each row, and areas are those on the ellipsoid: between two parallels from the equator to `latitude`
and over one radian of longitude there are

    Q(latitude) = b^2 / 2 (s / (1 - e^2 s^2) + atanh(e s) / e), s = sin(latitude)

(Snyder, Map Projections, 1987, page 16, equations 3-11 and 3-12). Rounding does not add up: a row's pixels have the
difference of two rounded sums over all rows above. So a class of many rows is right where pixels are of a centimetre.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np

from maskbeam.transforms.elements import Array, Grid, Region
from maskbeam.transforms.geo.systems import horizontal, transformed

PLANAR, BY_ROW, BY_PIXEL = "planar", "geodesic by row", "geodesic by pixel"
_MM2 = 10**6
# Projections whose rows are parallels, as pyproj names them, and on whose map a metre is none on the ground.
_CYLINDRICAL = ("Mercator (", "Popular Visualisation Pseudo Mercator", "Equidistant Cylindrical")
# More than a pixel may cover, in square metres: its square millimetres must fit into 64 bits.
_LARGEST = 9.2e12
# Sums of 64-bit floats are exact below 2 ** 53: halves of areas in rows of up to 2 ** 21 pixels.
_HALF = 32
# Rows whose areas are computed at once.
_STRIP = 64
_KEPT = 64

# Square metres from the equator to the parallels at `y` of a map, over a radian of longitude; float64 to float64.
_Zone = Callable[[Array], Array]


@dataclass(frozen=True, eq=False)
class _Rule:
    """How areas are computed on one grid.

    Attributes:
        method: `PLANAR`, `BY_ROW` or `BY_PIXEL`.
        scale: Of one unit of the map: square metres of its square where that is planar, else radians of longitude.
        zone: See `_Zone`; None where it is planar.
    """

    method: str
    scale: float
    zone: _Zone | None = None


def area_method(grid: Grid | None) -> str:
    """How areas of this grid are computed, in words; `""`: they are not, for nobody knows what its units are."""
    rule = _rule(grid) if grid else None
    return rule.method if rule else ""


def pixel_areas(grid: Grid | None, region: Region) -> Array | None:
    """The square millimetres of each pixel of a region.

    Returns:
        Int64 `[h, 1]`, by row, or `[h, w]`; None where the grid has no coordinate system that tells lengths, or one
        pixel is larger than a continent.
    """
    rule = _rule(grid) if grid else None
    if grid is None or rule is None:
        return None
    if rule.zone is not None and rule.method == BY_PIXEL:
        return _by_pixel(grid, rule.scale, rule.zone, region)
    edges = np.arange(region.top, region.top + region.height + 1, dtype=np.float64)
    above = (_above(grid, rule, edges) * _MM2).tolist()
    sums = [round(each) for each in above]
    return np.array([abs(below - sum_above) for sum_above, below in pairwise(sums)], np.int64)[:, None]


def _above(grid: Grid, rule: _Rule, rows: Array) -> Array:
    """Square metres of a column of pixels from the first row down to these; their sign is the direction."""
    a, b, _, d, e, f = grid.transform
    if rule.zone is None:
        return abs(a * e - b * d) * rule.scale * rows
    return abs(a) * rule.scale * (rule.zone(f + e * rows) - rule.zone(np.array([f])))


def _by_pixel(grid: Grid, scale: float, zone: _Zone, region: Region) -> Array:
    """Of a rotated grid: the density of the map at a pixel's centre, from its parallels above and below, `[h, w]`."""
    a, b, _, d, e, f = grid.transform
    rows = np.arange(region.top, region.top + region.height)[:, None] + 0.5
    columns = np.arange(region.left, region.left + region.width)[None] + 0.5
    centres, half = f + e * rows + d * columns, (abs(d) + abs(e)) / 2
    height = np.abs(zone(centres + half) - zone(centres - half))
    areas = abs(a * e - b * d) * scale / (2 * half) * height
    return np.asarray(np.rint(areas * _MM2).astype(np.int64))


def area_by_class(labels: Array, region: Region, grid: Grid | None) -> dict[int, int] | None:
    """The square millimetres of each class that occurs in a region.

    Args:
        labels: Class ids `[h, w]`, uint8 or uint16; the ignore label is one of them.
        region: Their place in the image.
        grid: The image's.

    Returns:
        Areas by id, in ascending order; None as in `pixel_areas`. Of the regions that an image is divided into they
        sum to the same, whatever the division.
    """
    if not area_method(grid):
        return None
    sums: dict[int, int] = dict.fromkeys(np.unique(labels).tolist(), 0)
    for top in range(0, region.height, _STRIP):
        rows = labels[top : top + _STRIP]
        areas = pixel_areas(grid, Region(region.top + top, region.left, len(rows), region.width))
        for row, of_row in zip(rows, np.asarray(areas), strict=True):
            _add(sums, row, of_row)
    return sums


def _add(sums: dict[int, int], labels: Array, areas: Array) -> None:
    """Adds the areas of a row of labels `[w]`, one of all or one of each, to sums that may take more than 64 bits."""
    if areas.size == 1:
        counts, area = np.bincount(labels), int(areas[0])
        for class_id in np.flatnonzero(counts).tolist():
            sums[class_id] += int(counts[class_id]) * area
        return
    high, low = (np.bincount(labels, half) for half in (areas >> _HALF, areas & ((1 << _HALF) - 1)))
    for class_id in np.flatnonzero(high + low).tolist():
        sums[class_id] += (int(high[class_id]) << _HALF) + int(low[class_id])


@lru_cache(_KEPT)
def _rule(grid: Grid) -> _Rule | None:
    a, b, _, d, e, _ = grid.transform
    try:
        crs, size = horizontal(grid.crs), abs(a * e - b * d)
    except ValueError:  # none, or none that PROJ knows
        return None
    if not np.isfinite(grid.transform).all():
        return None
    method = BY_PIXEL if d else BY_ROW
    # Of an angle's radians, or of a length's metres.
    units = [axis.unit_conversion_factor for axis in crs.axis_info[:2]]
    if crs.is_geographic and not crs.is_derived:
        metres = units[0] * crs.ellipsoid.semi_major_metre
        rule = _Rule(method, units[0], _zone(crs.ellipsoid, lambda y: y * units[0]))
    elif crs.is_projected:
        metres = (units[0] * units[1]) ** 0.5
        is_cylindrical = _operation(crs).startswith(_CYLINDRICAL)
        rule = _cylindrical(grid, crs, method) if is_cylindrical else _Rule(PLANAR, units[0] * units[1])
    else:
        return None
    return rule if size * metres**2 < _LARGEST else None


def _operation(crs: Any) -> str:
    return crs.coordinate_operation.method_name if crs.coordinate_operation else ""


def _cylindrical(grid: Grid, crs: Any, method: str) -> _Rule:
    """The rule of a map on which x is a multiple of the longitude, and y is told by the latitude alone."""
    geographic, x = crs.geodetic_crs.to_wkt(), grid.transform[2]

    def latitudes(y: Array) -> Array:
        points = np.stack([np.full(y.size, x), y.ravel()], axis=1)
        found = transformed(points, grid.crs, geographic)[:, 1]
        # Beyond the map there is no ground.
        found = np.where(np.isfinite(found), found, np.copysign(90, points[:, 1]))
        return np.asarray(np.radians(found).reshape(y.shape))

    # Over a short way: of a long one the longitude would be wrapped around the earth.
    ends = transformed(np.array([[x, 0.0], [x + 1000, 0.0]]), grid.crs, geographic)[:, 0]
    return _Rule(method, float(np.radians((ends[1] - ends[0]) % 360)) / 1000, _zone(crs.ellipsoid, latitudes))


def _zone(ellipsoid: Any, latitudes: Callable[[Array], Array]) -> _Zone:
    """Areas on an ellipsoid; `latitudes` gives those of `y`, in radians."""
    a, b = ellipsoid.semi_major_metre, ellipsoid.semi_minor_metre
    e = (1 - (b / a) ** 2) ** 0.5

    def zone(y: Array) -> Array:
        # Rows beyond a pole have no area.
        s = np.sin(np.clip(latitudes(y), -np.pi / 2, np.pi / 2))
        return np.asarray(b * b / 2 * (s / (1 - (e * s) ** 2) + (np.arctanh(e * s) / e if e else s)))

    return zone
