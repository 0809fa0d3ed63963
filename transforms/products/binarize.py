"""Masks of one class: 255 where it is, 0 elsewhere."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from maskbeam.transforms.codecs.encode import encode_binary
from maskbeam.transforms.elements import Array, Labels
from maskbeam.transforms.products.product import Held, Product
from maskbeam.transforms.products.rendering import Rendering


def binarize(labels: Array, class_id: int) -> Array:
    """Marks the pixels of one class; those of the ignore label belong to none.

    Args:
        labels: Integer class ids `[H, W]`.
        class_id: The output id of the class.

    Returns:
        Uint8 `[H, W]`, 0 or 255.
    """
    mask = labels == class_id
    # 0 less 1 is 255 in eight bits.
    return np.asarray(np.negative(mask.view(np.uint8)))


class _Binary(Product):
    def is_by_class(self, *, planes: bool) -> bool:
        return True

    def draw(self, labels: Labels, rendering: Rendering, *, text: Mapping[str, str]) -> dict[str, bytes]:
        return {
            self.path(folder): encode_binary(_of_class(labels, channel, class_id), text=text)
            for channel, class_id, folder in rendering.folders
        }

    def depends_on(self, settings: Mapping[str, Any]) -> Any:
        return [[class_id, name] for _, class_id, name, _ in settings["classes"]]

    def agrees(self, pixels: Array, held: Held) -> bool:
        if held.mask is None:
            return int(np.count_nonzero(pixels)) == held.pixels
        return bool(np.array_equal(pixels != 0, held.mask == held.class_id))


def _of_class(labels: Labels, channel: int, class_id: int) -> Array:
    return np.asarray(labels.pixels[channel]) if labels.are_planes else binarize(labels.pixels, class_id)


PRODUCT = _Binary("binary", of_planes=True)
