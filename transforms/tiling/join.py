"""Rows of an image become its blocks, and blocks the image: parts are pasted where they lie."""

from collections.abc import Iterable
from math import prod
from typing import Protocol

import numpy as np

from maskbeam.transforms.elements import Array, Labels, Origin, Region


class Part(Protocol):
    """A part of an image, decided: `Labels`, or `Decided` rows; its attributes are as theirs."""

    @property
    def region(self) -> Region:
        """Where it lies."""
        ...

    @property
    def pixels(self) -> Array:
        """Labels `[..., h, w]`."""
        ...

    @property
    def confidence(self) -> Array | None:
        """Of the same shape."""
        ...

    @property
    def confidence_sum(self) -> int:
        """A sum over `confidence_pixels`."""
        ...

    @property
    def confidence_pixels(self) -> int:
        """A number of pixels."""
        ...

    @property
    def nonfinite(self) -> int:
        """A number of pixels."""
        ...


class Joined:
    """The labels of a region, from those of parts that together cover it once."""

    def __init__(self, origin: Origin, region: Region) -> None:
        self._origin, self._region = origin, region
        self._missing = prod(region.size)
        self._pixels: Array | None = None
        self._confidence: Array | None = None
        self._counts = np.zeros(3, np.int64)

    def add(self, part: Part) -> None:
        """Pastes a part where it lies."""
        self._pixels = self._pasted(self._pixels, part.pixels, part.region)
        if part.confidence is not None:
            self._confidence = self._pasted(self._confidence, part.confidence, part.region)
        self._counts += part.confidence_sum, part.confidence_pixels, part.nonfinite
        self._missing -= prod(part.region.size)

    @property
    def is_whole(self) -> bool:
        """True once all parts were pasted."""
        return not self._missing

    @property
    def nonfinite(self) -> int:
        """The number of pixels with a NaN among their scores."""
        return int(self._counts[2])

    def labels(self, image: Array | None = None) -> Labels:
        """The labels of the region; `image` as of `Labels`."""
        if self._pixels is None:
            raise ValueError("an image has blocks, and a block has rows")
        certain, measured, nonfinite = map(int, self._counts)
        return Labels(
            self._origin, self._region, self._pixels, self._confidence, certain, measured, nonfinite, image=image
        )

    def _pasted(self, whole: Array | None, part: Array, region: Region) -> Array:
        if whole is None:
            whole = np.empty((*part.shape[:-2], *self._region.size), part.dtype)
        top, left = region.top - self._region.top, region.left - self._region.left
        whole[..., top : top + region.height, left : left + region.width] = part
        return whole


def joined(blocks: Iterable[Labels]) -> Labels | None:
    """The labels of an image, from those of all its blocks, which are asked for one by one; None of no block."""
    whole: Joined | None = None
    image: Array | None = None
    for block in blocks:
        whole = whole or Joined(block.origin, Region.whole(block.origin.size))
        whole.add(block)
        image = block.image if image is None else image
    return None if whole is None else whole.labels(image)
