"""Blocks become their image."""

from collections.abc import Iterable

import numpy as np

from maskbeam.transforms.elements import Array, Labels, Region


def joined(blocks: Iterable[Labels]) -> Labels | None:
    """The labels of an image, from those of all its blocks, which are asked for one by one; None of no block."""
    pixels: Array | None = None
    sure: Array | None = None
    image: Array | None = None
    certain = measured = nonfinite = 0
    for block in blocks:
        origin = block.origin
        pixels = _pasted(pixels, block.pixels, block)
        sure = None if block.confidence is None else _pasted(sure, block.confidence, block)
        image = block.image if image is None else image
        certain, measured = certain + block.confidence_sum, measured + block.confidence_pixels
        nonfinite += block.nonfinite
    if pixels is None:
        return None
    return Labels(origin, Region.whole(origin.size), pixels, sure, certain, measured, nonfinite, image)


def _pasted(whole: Array | None, part: Array, block: Labels) -> Array:
    """The array `[..., H, W]` of an image with a block's `[..., h, w]` in its place; a new one if there is none."""
    if whole is None:
        whole = np.empty((*part.shape[:-2], *block.origin.size), part.dtype)
    rows = slice(block.region.top, block.region.top + block.region.height)
    whole[..., rows, block.region.left : block.region.left + block.region.width] = part
    return whole
