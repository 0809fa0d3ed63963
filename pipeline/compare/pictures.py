"""Pictures of the images with the lowest scores: image, reference, mask, and where the two differ."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from maskbeam.pipeline.compare.comparison import Comparison
from maskbeam.pipeline.compare.measure import aligned
from maskbeam.pipeline.compare.totals import Low
from maskbeam.pipeline.inputs.read import read_at
from maskbeam.pipeline.options import ReadOptions
from maskbeam.pipeline.output.finished_rows import FinishedImage
from maskbeam.pipeline.output.tree import overwrite
from maskbeam.transforms.codecs.decode import decode
from maskbeam.transforms.codecs.encode import encode_jpeg
from maskbeam.transforms.comparison.align import nearest
from maskbeam.transforms.comparison.scores import SHARE
from maskbeam.transforms.elements import Array, Source
from maskbeam.transforms.errors import MaskbeamError
from maskbeam.transforms.products.overlay import as_rgb
from maskbeam.transforms.products.palette import VOID_COLOR

# Pixels of a panel's longer side: of larger images every second, third ... pixel is drawn.
_LONGEST = 640
_GAP = 6
_PAPER, _RIGHT, _WRONG = (255, 255, 255), (236, 236, 236), (208, 0, 48)
_KEYS = ("image_key", "height_key", "width_key", "channels_key")


def draw_worst(comparison: Comparison, worst: Sequence[Low]) -> list[dict[str, Any]]:
    """Writes a picture for each image, `worst/01.jpg` and so on, and tells which is whose.

    The first panel is grey where the image itself cannot be read any more.
    """
    told = []
    for number, low in enumerate(worst, 1):
        name = f"worst/{number:02d}.jpg"
        panels = _panels(comparison, low)
        if panels is not None:
            overwrite(comparison.tree, f"{comparison.folder}/{name}", encode_jpeg(_side_by_side(panels)))
        told.append({"id": low.image_id, "miou": low.share / SHARE, "picture": name if panels else None})
    return told


def _panels(comparison: Comparison, low: Low) -> list[Array] | None:
    """Panels uint8 `[h, w, 3]` of one size; None where mask or reference have gone meanwhile."""
    image = FinishedImage(low.image_id, Source(low.where, ""), {})
    try:
        located = comparison.references.versions([image])
        reference, labels = aligned(comparison, image, located[low.image_id])
    except (MaskbeamError, KeyError):
        return None
    step = -(-max(reference.shape) // _LONGEST)
    reference, labels = reference[::step, ::step], labels[::step, ::step]
    colors = _colors(comparison)
    return [
        _image(comparison, low.where, reference.shape),
        colors.take(reference, axis=0),
        colors.take(labels, axis=0),
        _difference(reference, labels, comparison.count),
    ]


def _image(comparison: Comparison, where: str, size: tuple[int, ...]) -> Array:
    settings = comparison.output.settings
    keys = {key: settings[f"--{key}"] for key in _KEYS if f"--{key}" in settings}
    try:
        pixels = as_rgb(decode(read_at(where, ReadOptions(**keys))).pixels)
    except MaskbeamError:
        return np.full((*size, 3), VOID_COLOR, np.uint8)
    height, width = size
    channels = [nearest(channel, (height, width)) for channel in np.moveaxis(pixels, 2, 0)]
    return np.stack(channels, axis=2)


def _difference(reference: Array, labels: Array, count: int) -> Array:
    """Red where they differ, white where the reference knows nothing."""
    colors = np.array([_RIGHT, _WRONG, _PAPER], np.uint8)
    return colors.take(np.where(reference == count, 2, reference != labels), axis=0)


def _colors(comparison: Comparison) -> Array:
    return np.array([*(c.color for c in comparison.output.classes.classes), VOID_COLOR], np.uint8)


def _side_by_side(panels: Sequence[Array]) -> Array:
    gap = np.full((panels[0].shape[0], _GAP, 3), _PAPER, np.uint8)
    return np.concatenate([each for panel in panels for each in (panel, gap)][:-1], axis=1)
