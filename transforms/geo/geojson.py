"""Polygons of a GeoJSON document (RFC 7946): an area of interest."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from maskbeam.transforms.errors import RunError
from maskbeam.transforms.geo.systems import LON_LAT, horizontal

_NESTING = 100
_COLLECTIONS = {"FeatureCollection": "features", "GeometryCollection": "geometries"}
_WITHOUT_AREA = ("Point", "MultiPoint", "LineString", "MultiLineString")

Point = tuple[float, float]
Ring = tuple[Point, ...]


@dataclass(frozen=True)
class Aoi:
    """Polygons, each an outer ring and its holes, in a coordinate system that pyproj knows by this text."""

    polygons: tuple[tuple[Ring, ...], ...]
    crs: str = LON_LAT


def parse_aoi(text: str, named: str) -> Aoi:
    """Reads the polygons of a GeoJSON document; points and lines beside them are left out.

    Args:
        text: The document.
        named: What messages call it.

    Raises:
        RunError: It is no GeoJSON, has no polygon, or names a system that nobody knows.
    """
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _unfit(named, f"no JSON: {error}") from None
    if not isinstance(values, dict):
        raise _unfit(named, "no GeoJSON object")
    try:
        polygons = tuple(_polygons(values, _NESTING))
    except (TypeError, ValueError, KeyError, AttributeError, IndexError) as error:
        raise _unfit(named, f"no sound GeoJSON: {error}") from None
    if not polygons:
        raise _unfit(named, "a document without any polygon")
    return Aoi(polygons, _system(values, named))


def _polygons(values: dict[str, Any], nesting: int) -> Iterator[tuple[Ring, ...]]:
    for geometry in _geometries(values, nesting):
        kind = geometry["type"]
        if kind in ("Polygon", "MultiPolygon"):
            found = [geometry["coordinates"]] if kind == "Polygon" else geometry["coordinates"]
            yield from (tuple(_ring(ring) for ring in polygon) for polygon in found if polygon)
        elif kind not in _WITHOUT_AREA:
            raise ValueError(f"{str(kind)[:40]!r} is no type of it")


def _geometries(values: dict[str, Any], nesting: int) -> Iterator[dict[str, Any]]:
    if not nesting:
        raise ValueError("collections within collections")
    kind = values["type"]
    if kind == "Feature":
        # A feature may have none.
        inner = [values["geometry"]] if values["geometry"] is not None else []
    elif kind in _COLLECTIONS:
        inner = values[_COLLECTIONS[kind]]
    else:
        yield values
        return
    for each in inner:
        yield from _geometries(each, nesting - 1)


def _ring(points: list[list[float]]) -> Ring:
    ring = tuple((float(point[0]), float(point[1])) for point in points)
    if len(ring) < 3 or not np.isfinite(ring).all():
        raise ValueError("a ring needs three points, and finite numbers")
    return ring[:-1] if ring[0] == ring[-1] else ring


def _system(values: dict[str, Any], named: str) -> str:
    """The system that a document names, as GeoJSON of 2008 did: the standard of today has no such word."""
    crs = values.get("crs")
    if crs is None:
        return LON_LAT
    try:
        name = str(crs["properties"]["name"])
        horizontal(name)
    except (TypeError, KeyError, ValueError):
        raise RunError(
            f"{named} names a coordinate system that is not known: name one as EPSG does, or leave it out and write "
            "longitudes and latitudes"
        ) from None
    return name


def _unfit(named: str, what: str) -> RunError:
    return RunError(f"{named} is {what}; give a GeoJSON file with polygons in longitude and latitude")
