"""COCO's annotations become label maps: instances (polygons, RLE) and panoptic segments.

Formats: https://cocodataset.org/#format-data. Values of these maps are category ids; `UNLABELLED` where nothing is
annotated, `CROWD` where a region of many objects is. Later annotations of a file cover earlier ones.
"""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any, Final

import numpy as np

from maskbeam.transforms.codecs.decode import MAX_PIXELS
from maskbeam.transforms.comparison.reference import ReferencePixels, unreadable
from maskbeam.transforms.elements import Array

UNLABELLED: Final = 65534
CROWD: Final = 65535
#: Category ids that label maps hold.
LARGEST: Final = 65533
# Corners of polygons farther outside than so many sides of the image are no corners.
_OUTSIDE = 4


def draw_instances(size: tuple[int, int], annotations: Sequence[Mapping[str, Any]]) -> ReferencePixels:
    """Draws annotations of one image in their order, by pycocotools.

    Args:
        size: Height and width that the file gives the image.
        annotations: Each with `category_id`, `segmentation` and, where it is one, `iscrowd`.

    Raises:
        ImageError: REFERENCE_UNREADABLE: a segmentation is none of an image of this size.
    """
    pixels = _unlabelled(size)
    for each in annotations:
        pixels[_mask(each.get("segmentation"), size)] = CROWD if each.get("iscrowd") else each["category_id"]
    return ReferencePixels(pixels)


def draw_segments(size: tuple[int, int], colors: Array, segments: Sequence[Mapping[str, Any]]) -> ReferencePixels:
    """Gives each segment of a panoptic PNG its category.

    Args:
        size: Height and width that the file gives the image.
        colors: The PNG, uint8 `[H, W, 3]`: a segment's id is red + 256 green + 65536 blue; 0: no segment.
        segments: Each with `id`, `category_id` and, where it is one, `iscrowd`.

    Raises:
        ImageError: REFERENCE_UNREADABLE: another size, or a segment that the file does not tell.
    """
    if colors.shape != (*size, 3):
        raise unreadable(f"its PNG is {colors.shape[1]} x {colors.shape[0]}, the file says {size[1]} x {size[0]}")
    numbers = colors.astype(np.int32) @ np.array([1, 256, 65536], np.int32)
    category = {0: UNLABELLED, **{s["id"]: CROWD if s.get("iscrowd") else s["category_id"] for s in segments}}
    ids, at = np.unique(numbers, return_inverse=True)
    unknown = [int(i) for i in ids if int(i) not in category]
    if unknown:
        raise unreadable(f"its PNG holds segment {unknown[0]}, which the file does not tell")
    return ReferencePixels(np.array([category[int(i)] for i in ids], np.uint16)[at].reshape(size))


def _unlabelled(size: tuple[int, int]) -> Array:
    height, width = size
    if height * width > MAX_PIXELS:
        raise unreadable(f"the file says {width} x {height}, more than {MAX_PIXELS} pixels")
    return np.full(size, UNLABELLED, np.uint16)


def _mask(segmentation: Any, size: tuple[int, int]) -> Array:
    """The pixels of one annotation, bool `[H, W]`."""
    try:
        return _of_runs(segmentation, size) if isinstance(segmentation, dict) else _of_polygons(segmentation, size)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
        raise unreadable("a region is neither polygons nor runs of an image of its size") from None


def _of_runs(segmentation: Mapping[str, Any], size: tuple[int, int]) -> Array:
    counts = segmentation["counts"]
    if list(segmentation["size"]) != list(size):
        raise ValueError("another size")
    return _runs(counts if isinstance(counts, list) else _counts(counts.encode("ascii")), size)


def _of_polygons(parts: Sequence[Any], size: tuple[int, int]) -> Array:
    from pycocotools import mask as tools

    if not parts:
        return np.zeros(size, bool)
    encoded = tools.merge(tools.frPyObjects([_corners(part, size) for part in parts], *size))
    # Not decoded by pycocotools, whose way to make an array numpy gives up.
    return _runs(_counts(encoded["counts"]), size)


def _counts(text: bytes) -> list[int]:
    """Lengths of runs in COCO's letters: five bits a letter from 48 on, the lowest first, 32 for "more", signed.

    From the third on they are differences to the length before the last.
    """
    counts: list[int] = []
    value = shift = 0
    for letter in text:
        bits = letter - 48
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            value -= (bits & 16) << shift - 4
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value = shift = 0
    return counts


def _runs(counts: list[Any], size: tuple[int, int]) -> Array:
    """The pixels of runs of 0 and 1 in turns, column after column."""
    lengths = np.array(counts, np.int64)
    if (lengths < 0).any() or lengths.sum() != size[0] * size[1]:
        raise ValueError("the runs do not fill the image")
    ones = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
    return ones.reshape(size[::-1]).T


def _corners(part: Any, size: tuple[int, int]) -> list[float]:
    corners = [float(value) for value in part]
    most = _OUTSIDE * (max(size) + 1)
    if len(corners) < 6 or len(corners) % 2 or not all(isfinite(value) and abs(value) <= most for value in corners):
        raise ValueError("no polygon")
    return corners
