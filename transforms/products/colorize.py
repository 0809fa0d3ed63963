"""Labels as colours, for people."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from maskbeam.transforms.codecs.encode import encode_palette, encode_rgb
from maskbeam.transforms.elements import Array, Labels
from maskbeam.transforms.products.palette import padded
from maskbeam.transforms.products.product import Held, Product
from maskbeam.transforms.products.rendering import Rendering


def colorize(labels: Array, palette: Array) -> Array:
    """Draws labels in their colours.

    Args:
        labels: Class ids `[H, W]`, uint8 or uint16.
        palette: Uint8 `[K, 3]` as `make_palette` makes it; ids from K on have `VOID_COLOR`.

    Returns:
        Uint8 `[H, W, 3]`, red, green and blue.
    """
    return padded(palette, labels.dtype).take(labels, axis=0)


class _Color(Product):
    def draw(self, labels: Labels, rendering: Rendering, *, text: Mapping[str, str]) -> dict[str, bytes]:
        pixels, palette = labels.pixels, rendering.palette
        if pixels.dtype == np.uint8:
            return {self.path(): encode_palette(pixels, palette, text=text)}
        return {self.path(): encode_rgb(colorize(pixels, palette), text=text)}

    def depends_on(self, settings: Mapping[str, Any]) -> Any:
        return [[class_id, color] for _, class_id, _, color in settings["classes"]]

    def agrees(self, pixels: Array, held: Held) -> bool:
        # Above 255 ids are drawn as colours, which classes may share.
        return pixels.ndim == 3 or np.array_equal(pixels, np.asarray(held.mask))


PRODUCT = _Color("color")
