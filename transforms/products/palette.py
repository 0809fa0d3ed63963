"""The colours of all ids that a label map can hold."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from maskbeam.transforms.classes.palettes import Color
from maskbeam.transforms.elements import Array

# Of pixels that no class owns, the ignore label among them: as Pascal VOC draws its void.
VOID_COLOR: Color = (224, 224, 192)


def make_palette(colors: Mapping[int, Color]) -> Array:
    """The colours of all ids that a label map of these classes can hold.

    Args:
        colors: Red, green and blue (0..255) of each class, by id.

    Returns:
        Uint8 `[256, 3]`, or `[65536, 3]` when an id is above 255; other ids have `VOID_COLOR`.
    """
    palette = np.full((256 if max(colors) < 256 else 65536, 3), VOID_COLOR, np.uint8)
    palette[list(colors)] = list(colors.values())
    return palette


def padded(palette: Array, dtype: np.dtype[Any]) -> Array:
    """The palette `[K, 3]` with an entry for each value of an unsigned integer type."""
    values = int(np.iinfo(dtype).max) + 1
    if len(palette) >= values:
        return palette
    whole = np.full((values, 3), VOID_COLOR, np.uint8)
    whole[: len(palette)] = palette
    return whole
