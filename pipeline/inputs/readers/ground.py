"""The ground that a file's pixels cover, and whether the bands of one image cover the same."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from maskbeam.transforms.elements import Array, GroundPoint
from maskbeam.transforms.errors import Code, ImageError

# Of a pixel of the image, at each of its corners.
_TOLERANCE = 0.01
Transform = tuple[float, float, float, float, float, float]


@dataclass(frozen=True, eq=False)
class Ground:
    """The size of a raster and where it lies.

    Attributes:
        size: Height and width in pixels.
        transform: `a` to `f` of `x = a column + b row + c` and `y = d column + e row + f`; None: the file has none.
        crs: The coordinate system, of rasterio's type, or None.
        points: Ground control points, where there are those in place of a transform; `crs` is theirs then.
        wkt: The coordinate system as WKT, or empty.
    """

    size: tuple[int, int]
    transform: Transform | None = None
    crs: Any = None
    points: tuple[GroundPoint, ...] = ()
    wkt: str = ""


def repeats(image: Ground, other: Ground, label: str) -> tuple[int, int]:
    """How many pixels of the image one of another band covers, in rows and columns: 1, 1 on the image's own grid.

    Args:
        image: The grid of the image, that of its first band.
        other: That of the other band.
        label: What messages call the other band.

    Raises:
        ImageError: GRID_MISMATCH: it lies in another CRS, begins elsewhere, covers other ground, or its pixels are
            not a whole number of times as large.
    """
    if not same_crs(image.crs, other.crs):
        raise _mismatch(label, f"lies in {_crs_name(other.crs)}", _crs_name(image.crs))
    if image.transform is None or other.transform is None:
        return _repeats_by_size(image, other, label)
    matrix, inverse = _matrix(other.transform), np.linalg.inv(_matrix(image.transform))
    step = inverse @ matrix  # from the other's pixels to the image's
    factor = _whole_factor(step, other.size)
    if factor is None:
        advice = ": name the band with the finest pixels first" if abs(np.linalg.det(step[:2, :2])) < 0.99 else ""
        pixels = f"has pixels of {_pixel(other.transform)}"
        raise _mismatch(label, pixels, f"{_pixel(image.transform)}, no whole number of which they are", advice)
    _check_size(image, other, factor, label)
    if max(abs(step[:2, 2])) > _TOLERANCE:
        raise _mismatch(label, f"begins at {_origin(other.transform)}", _origin(image.transform))
    return factor


def _repeats_by_size(image: Ground, other: Ground, label: str) -> tuple[int, int]:
    if (image.transform is None) != (other.transform is None):
        raise _mismatch(label, f"has {_transform_name(other)}", _transform_name(image))
    factor = max(1, image.size[0] // other.size[0]), max(1, image.size[1] // other.size[1])
    _check_size(image, other, factor, label)
    if not _same_points(image.points, other.points, factor):
        raise _mismatch(label, "has other ground control points", "its own")
    return factor


def _whole_factor(step: Array, size: tuple[int, int]) -> tuple[int, int] | None:
    """Whole numbers in the diagonal of `step`, so near that the far corner is off by little; else None."""
    rows, columns = max(1, round(step[1, 1])), max(1, round(step[0, 0]))
    off = step[:2, :2] - np.diag((columns, rows))
    return (rows, columns) if np.abs(off @ np.diag(size[::-1])).max() <= _TOLERANCE else None


def _check_size(image: Ground, other: Ground, factor: tuple[int, int], label: str) -> None:
    if (other.size[0] * factor[0], other.size[1] * factor[1]) != image.size:
        what = f"has {_said(other.size)} pixels"
        times = "" if factor == (1, 1) else f", of which one of its own covers {_said(factor)}"
        raise _mismatch(label, what, f"{_said(image.size)}{times}")


def _same_points(image: tuple[GroundPoint, ...], other: tuple[GroundPoint, ...], factor: tuple[int, int]) -> bool:
    if len(image) != len(other):
        return False
    pairs = zip(image, other, strict=True)
    return all(
        (a.x, a.y, a.z) == (b.x, b.y, b.z)
        and abs(a.row - b.row * factor[0]) <= _TOLERANCE
        and abs(a.column - b.column * factor[1]) <= _TOLERANCE
        for a, b in pairs
    )


def same_crs(one: Any, other: Any) -> bool:
    """True for one coordinate system in any two spellings: a code, WKT of any version or maker, PROJ's words."""
    if one is None or other is None:
        return one is other
    if one == other:
        return True
    from pyproj import CRS
    from pyproj.exceptions import ProjError

    try:
        if one.to_epsg() is not None and one.to_epsg() == other.to_epsg():
            return True
        return CRS.from_wkt(one.to_wkt()).equals(CRS.from_wkt(other.to_wkt()), ignore_axis_order=True)
    except (ValueError, ProjError):  # of a system that PROJ does not know
        return False


def _matrix(transform: Transform) -> Array:
    return np.array([transform[:3], transform[3:], (0, 0, 1)], np.float64)


def _mismatch(label: str, what: str, image: str, advice: str = "") -> ImageError:
    return ImageError(Code.GRID_MISMATCH, f"{label} {what}, the first band {image}{advice}")


def _said(pair: tuple[int, int]) -> str:
    return f"{pair[0]} x {pair[1]}"


def _pixel(transform: Transform) -> str:
    a, b, _, d, e, _ = transform
    return f"{math.hypot(a, d):.9g} x {math.hypot(b, e):.9g}" + (
        "" if b == d == 0 else f" (turned: {a}, {b}, {d}, {e})"
    )


def _origin(transform: Transform) -> str:
    return f"{transform[2]:.15g}, {transform[5]:.15g}"


def _transform_name(ground: Ground) -> str:
    if ground.transform is not None:
        return "a transform"
    return "ground control points" if ground.points else "no transform"


def _crs_name(crs: Any) -> str:
    if crs is None:
        return "no CRS"
    code = crs.to_epsg()
    return f"EPSG:{code}" if code else f"{crs.to_wkt()[:80]!r}"
