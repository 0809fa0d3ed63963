"""Colours for classes that bring none: as far from each other as eyes can tell, and the same in every run."""

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

Color = tuple[int, int, int]

# Steps per channel of the grid that colours are chosen from: 1,000 candidates, each a difference that one sees.
_STEPS = 10
# Beyond this the eye is lost and distinct values are all that counts.
_CHOSEN = 512
# Odd, so that multiplying by it is a bijection of the 2^24 colours; near 2^24 divided by the golden ratio.
_SCATTER = 10_368_889
_BLACK_AND_WHITE = ((0, 0, 0), (255, 255, 255))


def generate_colors(count: int, *, taken: Collection[Color] = ()) -> list[Color]:
    """Colours that differ from each other, from black and white and from those taken already.

    Up to 512 each next colour is the one of a grid that is farthest, in CIELAB, from all before it, so that the
    first few differ most; after that they are only distinct.

    Args:
        count: How many.
        taken: Colours (red, green, blue; 0..255) to stay away from.
    """
    used = {*taken, *_BLACK_AND_WHITE}
    colors = _farthest(min(count, _CHOSEN), used)
    used.update(colors)
    step = 0
    while len(colors) < count:
        step += 1
        value = step * _SCATTER % 2**24
        color = (value >> 16, value >> 8 & 255, value & 255)
        if color not in used:
            used.add(color)
            colors.append(color)
    return colors


def _farthest(count: int, used: Collection[Color]) -> list[Color]:
    levels = np.linspace(0, 255, _STEPS).round().astype(np.uint8)
    grid = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 3)
    lab = rgb_to_lab(grid)
    nearest = np.full(len(grid), np.inf)
    for color in rgb_to_lab(np.array(sorted(used))):
        nearest = np.minimum(nearest, np.linalg.norm(lab - color, axis=1))
    chosen: list[Color] = []
    for _ in range(count):
        best = int(nearest.argmax())
        red, green, blue = (int(value) for value in grid[best])
        chosen.append((red, green, blue))
        nearest = np.minimum(nearest, np.linalg.norm(lab - lab[best], axis=1))
    return chosen


def rgb_to_lab(rgb: NDArray[Any]) -> NDArray[np.float64]:
    """Turns sRGB `[..., 3]` (0..255) into CIELAB `[..., 3]` under D65, where distance is roughly what an eye sees.

    IEC 61966-2-1 for the transfer curve and the primaries, CIE 15 for L*a*b*.
    """
    encoded = np.asarray(rgb, np.float64) / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array(
        [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    )
    xyz = linear @ (to_xyz / to_xyz.sum(axis=1, keepdims=True)).T
    x, y, z = np.moveaxis(np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29), -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)
