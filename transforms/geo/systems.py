"""Coordinate systems as `Grid` names them, and ways between them. Needs pyproj."""

from functools import lru_cache
from typing import Any

import numpy as np

from maskbeam.transforms.elements import Array

#: Longitude and latitude as GeoJSON has them (RFC 7946, section 4).
LON_LAT = "OGC:CRS84"
# A process works on few scenes at a time.
_KEPT = 64
# Of a system's name, which is text of the file's.
_LONGEST = 80


@lru_cache(_KEPT)
def horizontal(crs: str) -> Any:
    """The `pyproj.CRS` of a text, WKT or a name such as `EPSG:32633`, without heights and shifts to other systems.

    Raises:
        ValueError: It is no coordinate system.
    """
    from pyproj import CRS
    from pyproj.exceptions import ProjError

    try:
        found: Any = CRS.from_user_input(crs)
    except ProjError as error:
        raise ValueError(f"no coordinate system that PROJ knows: {error}") from None
    while found.is_bound or found.is_compound:
        found = found.source_crs if found.is_bound else found.sub_crs_list[0]
    return found


@lru_cache(_KEPT)
def system_name(crs: str) -> str:
    """A coordinate system as people name it: by its number, `EPSG:32633`, else by its name; `""` for none."""
    try:
        found = horizontal(crs)
    except ValueError:
        return ""
    number = found.to_epsg()
    return f"EPSG:{number}" if number else str(found.name)[:_LONGEST]


@lru_cache(_KEPT)
def unit_name(crs: str) -> str:
    """The unit of a coordinate system's axes, `metre`, `degree` or `US survey foot`; `""` where there is none."""
    try:
        axes = horizontal(crs).axis_info
    except ValueError:
        return ""
    return str(axes[0].unit_name) if axes else ""


@lru_cache(_KEPT)
def _way(source: str, target: str) -> Any:
    from pyproj import Transformer

    # As GDAL has it: x before y, longitude before latitude, whatever the authority's order is.
    return Transformer.from_crs(horizontal(source), horizontal(target), always_xy=True)


def transformed(points: Array, source: str, target: str) -> Array:
    """Points `[N, 2]` of x and y, float64, in another system; infinite where that has none for them."""
    # One point alone, as an array of one, is more than pyproj before 3.7.2 can take.
    several = np.concatenate([points, points[-1:]])
    x, y = _way(source, target).transform(several[:, 0], several[:, 1])
    return np.stack([x, y], axis=1)[: len(points)]


def on_ground(points: Array, transform: tuple[float, ...]) -> Array:
    """Points `[N, 2]` of columns and rows, from the top left corner, as x and y of a grid with this transform."""
    a, b, c, d, e, f = transform
    columns, rows = points[:, 0], points[:, 1]
    return np.stack([a * columns + b * rows + c, d * columns + e * rows + f], axis=1)


def in_pixels(points: Array, transform: tuple[float, ...]) -> Array:
    """Points `[N, 2]` of x and y as columns and rows.

    Raises:
        ValueError: The transform turns all pixels into one line or point.
    """
    a, b, c, d, e, f = transform
    determinant = a * e - b * d
    if not determinant:
        raise ValueError("the transform gives pixels no area")
    x, y = points[:, 0] - c, points[:, 1] - f
    return np.stack([(e * x - b * y) / determinant, (a * y - d * x) / determinant], axis=1)
