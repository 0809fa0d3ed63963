"""Labels as colours, for people."""

from collections.abc import Mapping
from typing import Any

import apache_beam as beam
import numpy as np

from maskbeam.transforms.classes.palettes import Color
from maskbeam.transforms.elements import Array, Labels

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


def colorize(labels: Array, palette: Array) -> Array:
    """Draws labels in their colours.

    Args:
        labels: Class ids `[H, W]`, uint8 or uint16.
        palette: Uint8 `[K, 3]` as `make_palette` makes it; ids from K on have `VOID_COLOR`.

    Returns:
        Uint8 `[H, W, 3]`, red, green and blue.
    """
    return padded(palette, labels.dtype).take(labels, axis=0)


def padded(palette: Array, dtype: np.dtype[Any]) -> Array:
    """The palette `[K, 3]` with an entry for each value of an unsigned integer type."""
    values = int(np.iinfo(dtype).max) + 1
    if len(palette) >= values:
        return palette
    whole = np.full((values, 3), VOID_COLOR, np.uint8)
    whole[: len(palette)] = palette
    return whole


class Colorize(beam.PTransform[Any, Any]):
    """`Labels` -> `(image_id, uint8 [H, W, 3])` in the classes' colours."""

    def __init__(self, colors: Mapping[int, Color]) -> None:
        super().__init__()
        self._palette = make_palette(colors)

    def expand(self, labels: Any) -> Any:
        return labels | "Colorize" >> beam.Map(_colorized, self._palette).with_output_types(tuple[str, np.ndarray])


def _colorized(labels: Labels, palette: Any) -> tuple[str, Array]:
    return labels.image_id, colorize(labels.pixels, palette)
