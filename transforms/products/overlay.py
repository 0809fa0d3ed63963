"""Labels laid over their image, for people."""

from collections.abc import Mapping
from typing import Any

import apache_beam as beam
import numpy as np

from maskbeam.transforms.classes.palettes import Color
from maskbeam.transforms.elements import Array, Labels
from maskbeam.transforms.products.colorize import make_palette, padded
from maskbeam.transforms.resampling.upsample import locate, nearest


def overlay(image: Array, labels: Array, palette: Array, *, opacity: float = 0.5, ignore: int | None = None) -> Array:
    """Blends labels' colours over an image: `(1 - opacity) * image + opacity * color`, opacity in steps of 1/256.

    Args:
        image: `[H, W, C]`, uint8, or float on the same scale of 0..255. One or two channels are drawn as grey from
            the first, of more than three the first three are red, green and blue.
        labels: Class ids, uint8 or uint16; brought to the image's size by nearest if they have another.
        palette: Uint8 `[K, 3]` as `colorize.make_palette` makes it.
        opacity: From 0, the image alone, to 1, the colours alone.
        ignore: The ignore label, whose pixels stay the image's.

    Returns:
        Uint8 `[H, W, 3]`.
    """
    base, labels = as_rgb(image), fitted(labels, image.shape[:2])
    share = round(opacity * 256)
    # Colours come weighted, with the half that rounds the sum; 255 * 256 + 128 is within 16 bits.
    weighted = padded(palette, labels.dtype).astype(np.uint16) * share + 128
    blend = base.astype(np.uint16)
    blend *= 256 - share
    blend += weighted.take(labels, axis=0)
    blend >>= 8
    result = blend.astype(np.uint8)
    void = labels == ignore
    if ignore is not None and void.any():
        result[void] = base[void]
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


class Overlay(beam.PTransform[Any, Any]):
    """`Labels` with its image -> `(image_id, uint8 [H, W, 3])`, the classes' colours over the image."""

    def __init__(self, colors: Mapping[int, Color], *, opacity: float = 0.5, ignore: int | None = None) -> None:
        super().__init__()
        self._palette = make_palette(colors)
        self._how = {"opacity": opacity, "ignore": ignore}

    def expand(self, labels: Any) -> Any:
        drawn = beam.Map(_overlaid, self._palette, **self._how).with_output_types(tuple[str, np.ndarray])
        return labels | "Overlay" >> drawn


def _overlaid(labels: Labels, palette: Any, **how: Any) -> tuple[str, Array]:
    if labels.image is None:
        raise ValueError("an overlay needs the decoded image; keep it when the model's input is prepared")
    return labels.image_id, overlay(labels.image, labels.pixels, palette, **how)
