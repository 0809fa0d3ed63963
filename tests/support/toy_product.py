"""A product that maskbeam does not have: where labels change from one pixel to the next."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from maskbeam.transforms.codecs.encode import encode_binary
from maskbeam.transforms.elements import Array, Labels
from maskbeam.transforms.products.product import Held, Product
from maskbeam.transforms.products.rendering import Rendering


def edges(labels: Array) -> Array:
    """Bool `[H, W]`: pixels whose right neighbour has another label."""
    found = np.zeros(labels.shape, np.bool_)
    found[:, :-1] = labels[:, :-1] != labels[:, 1:]
    return found


class _Edges(Product):
    def draw(self, labels: Labels, rendering: Rendering, *, text: Mapping[str, str]) -> dict[str, bytes]:
        return {self.path(): encode_binary(edges(labels.pixels), text=text)}

    def depends_on(self, settings: Mapping[str, Any]) -> Any:
        return None

    def agrees(self, pixels: Array, held: Held) -> bool:
        return np.array_equal(pixels != 0, edges(np.asarray(held.mask)))


PRODUCT = _Edges("edges")
