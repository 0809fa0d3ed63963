"""Blocks become their image."""

from collections.abc import Sequence

import numpy as np

from maskbeam.transforms.elements import Labels, Region


def joined(blocks: Sequence[Labels]) -> Labels:
    """The labels of an image, from those of all its blocks."""
    origin = blocks[0].origin
    pixels = np.empty((*blocks[0].pixels.shape[:-2], *origin.size), blocks[0].pixels.dtype)
    sure = None if blocks[0].confidence is None else np.empty(pixels.shape, blocks[0].confidence.dtype)
    for block in blocks:
        rows = slice(block.region.top, block.region.top + block.region.height)
        columns = slice(block.region.left, block.region.left + block.region.width)
        pixels[..., rows, columns] = block.pixels
        if sure is not None:
            sure[..., rows, columns] = block.confidence
    return Labels(
        origin,
        Region.whole(origin.size),
        pixels,
        sure,
        confidence_sum=sum(block.confidence_sum for block in blocks),
        confidence_pixels=sum(block.confidence_pixels for block in blocks),
        nonfinite=sum(block.nonfinite for block in blocks),
        image=next((block.image for block in blocks if block.image is not None), None),
    )
