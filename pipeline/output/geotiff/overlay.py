"""The overlay of a scene: as large as a screen shows, of labels that come block by block."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from maskbeam.transforms.codecs.encode import encode_jpeg
from maskbeam.transforms.elements import Array, Origin, Region
from maskbeam.transforms.products.overlay import overlay
from maskbeam.transforms.products.registry import product
from maskbeam.transforms.products.rendering import Rendering

#: Pixels of an overlay's longer side, at most.
LONGEST = 4096
#: Its path below the output, `{}` standing for the image's encoded id.
PATH = product("overlay").path()
# Drawn at once, for a blend takes several times the room of its result.
_ROWS = 256


@dataclass(frozen=True)
class SceneOverlay:
    """Draws the overlay of a scene, or of a picture in a run whose masks are GeoTIFFs.

    Attributes:
        small: Gives an image, uint8 `[h, w, C]`, of at most so many pixels a side.
        rendering: How it is drawn.
    """

    small: Callable[[Origin, int], Array]
    rendering: Rendering

    def __call__(self, origin: Origin, parts: Iterable[tuple[Region, Array]], text: Mapping[str, str]) -> bytes:
        """The file.

        Args:
            origin: The image.
            parts: Regions that cover it, and the labels `[h, w]` of each; in any order.
            text: Becomes its comment.

        Raises:
            ImageError: The image is gone, or another one now, or cannot be read.
        """
        image = self.small(origin, LONGEST)
        labels = small_labels(parts, origin.size, image.shape[:2])
        drawn = np.empty((*labels.shape, 3), np.uint8)
        for top in range(0, len(drawn), _ROWS):
            rows = slice(top, top + _ROWS)
            drawn[rows] = self._drawn(image[rows], labels[rows])
        return encode_jpeg(drawn, text=text)

    def _drawn(self, image: Array, labels: Array) -> Array:
        how = self.rendering
        return overlay(image, labels, how.palette, opacity=how.opacity, ignore=how.ignore_label)


def small_labels(parts: Iterable[tuple[Region, Array]], size: tuple[int, int], small: tuple[int, int]) -> Array:
    """Labels `[h, w]` of an image at a smaller size: each is that of the pixel in its middle.

    Args:
        parts: Regions that cover the image, and the labels of each.
        size: Height and width of the image.
        small: Height and width of the result.
    """
    rows, columns = (_middles(count, of) for count, of in zip(small, size, strict=True))
    found = np.zeros(small, np.uint8)
    for region, labels in parts:
        found = found.astype(labels.dtype, copy=False)
        top, bottom = np.searchsorted(rows, (region.top, region.top + region.height))
        left, right = np.searchsorted(columns, (region.left, region.left + region.width))
        there = np.ix_(rows[top:bottom] - region.top, columns[left:right] - region.left)
        found[top:bottom, left:right] = labels[there]
    return found


def _middles(count: int, of: int) -> Array:
    """The pixels, of so many, that the middles of `count` equal parts lie in, as GDAL takes the nearest."""
    return (2 * np.arange(count) + 1) * of // (2 * count)
