"""Labels laid over their image, for people."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from maskbeam.transforms.codecs.encode import encode_jpeg
from maskbeam.transforms.elements import Array, Labels
from maskbeam.transforms.products.palette import padded
from maskbeam.transforms.products.product import Product, kept
from maskbeam.transforms.products.rendering import Rendering
from maskbeam.transforms.resampling.upsample import locate, nearest
from maskbeam.transforms.strips import in_strips


def overlay(image: Array, labels: Array, palette: Array, *, opacity: float = 0.5, ignore: int | None = None) -> Array:
    """Blends labels' colours over an image: `(1 - opacity) * image + opacity * color`, opacity in steps of 1/256.

    Args:
        image: `[H, W, C]`, uint8, or float on the same scale of 0..255. One or two channels are drawn as grey from
            the first, of more than three the first three are red, green and blue.
        labels: Class ids, uint8 or uint16; brought to the image's size by nearest if they have another.
        palette: Uint8 `[K, 3]` as `palette.make_palette` makes it.
        opacity: From 0, the image alone, to 1, the colours alone.
        ignore: The ignore label, whose pixels stay the image's.

    Returns:
        Uint8 `[H, W, 3]`.
    """
    labels, share = fitted(labels, image.shape[:2]), round(opacity * 256)
    # Colours come weighted, with the half that rounds the sum; 255 * 256 + 128 is within 16 bits.
    weighted = padded(palette, labels.dtype).astype(np.uint16) * share + 128
    result = np.empty((*image.shape[:2], 3), np.uint8)
    for rows in in_strips(labels.shape):
        base = as_rgb(image[rows])
        blend = base.astype(np.uint16)
        blend *= 256 - share
        blend += weighted.take(labels[rows], axis=0)
        blend >>= 8
        result[rows] = blend
        void = labels[rows] == ignore
        if ignore is not None and void.any():
            result[rows][void] = base[void]
    return result


def as_rgb(image: Array) -> Array:
    """Uint8 `[H, W, 3]` of an image `[H, W, C]`: a view where it can be."""
    if image.dtype != np.uint8:
        image = np.rint(image).clip(0, 255).astype(np.uint8)
    channels = 3 if image.shape[2] >= 3 else 1
    return np.broadcast_to(image[..., :channels], (*image.shape[:2], 3))


def fitted(labels: Array, size: tuple[int, int]) -> Array:
    """Labels `[h, w]` at another size (H, W), by nearest."""
    if labels.shape == size:
        return labels
    rows, columns = (locate(n, start=0, length=n, plane=n, cells=c) for n, c in zip(size, labels.shape, strict=True))
    return nearest(labels, rows, columns)


class _Overlay(Product):
    def draw(self, labels: Labels, rendering: Rendering, *, text: Mapping[str, str]) -> dict[str, bytes]:
        image, opacity, ignore = kept(labels.image, self), rendering.opacity, rendering.ignore_label
        drawn = overlay(image, labels.pixels, rendering.palette, opacity=opacity, ignore=ignore)
        return {self.path(): encode_jpeg(drawn, text=text)}

    def depends_on(self, settings: Mapping[str, Any]) -> Any:
        return [[[class_id, color] for _, class_id, _, color in settings["classes"]], settings["--overlay_opacity"]]


PRODUCT = _Overlay("overlay", "jpg", needs_image=True, drawing_bytes=10)
