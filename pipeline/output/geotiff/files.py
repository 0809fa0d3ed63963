"""The files of a scene in a run whose masks are GeoTIFFs: what each is, and what of a block's labels goes into it."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np

from maskbeam.pipeline.output.geotiff.layout import Layout, of_binary, of_color, of_confidence, of_mask
from maskbeam.pipeline.output.geotiff.overlay import PATH as OVERLAY
from maskbeam.transforms.argmax import Labeling
from maskbeam.transforms.codecs.aux_xml import AUX_EXTENSION
from maskbeam.transforms.elements import Array, Labels, Origin, Source
from maskbeam.transforms.products.rendering import Rendering

_EIGHT_BITS = ((np.arange(1 << 16) + 128) // 257).astype(np.uint8)


class SceneFile(NamedTuple):
    """A GeoTIFF of an image.

    Attributes:
        path: Below the output, `{}` standing for the image's encoded id.
        layout: What it is.
        pixels: Its pixels of a block's labels: of the layout's type, `[h, w]` or `[h, w, 3]`.
        valid: The block's pixels with data, for layouts that are masked.
    """

    path: str
    layout: Layout
    pixels: Callable[[Labels], Array]
    valid: Callable[[Labels], Array] | None = None


def files_of(origin: Origin, rendering: Rendering, labeling: Labeling) -> list[SceneFile]:
    """All GeoTIFFs of an image, the one that carries its record last."""
    kinds = sorted(rendering.products & _MAKERS.keys())
    files = [file for kind in kinds for file in _MAKERS[kind](origin, rendering, labeling)]
    if not labeling.has_planes:
        files.append(_mask(origin, labeling))
    last = record_path(rendering, labeling)
    return sorted(files, key=lambda file: file.path == last)


def paths_of(rendering: Rendering, labeling: Labeling) -> list[str]:
    """The paths of all files of an image, those that are no GeoTIFFs as well, `{}` standing for its encoded id."""
    paths = [file.path for file in files_of(Origin("", Source("", "")), rendering, labeling)]
    drawn = [OVERLAY] if "overlay" in rendering.products else []
    return [*drawn, *paths] if labeling.has_planes else [*drawn, *paths, f"{paths[-1]}{AUX_EXTENSION}"]


def record_path(rendering: Rendering, labeling: Labeling) -> str:
    """The path of the file that carries an image's record."""
    return f"binary/{rendering.folders[0][2]}/{{}}.tif" if labeling.has_planes else "masks/{}.tif"


def _mask(origin: Origin, labeling: Labeling) -> SceneFile:
    wide = labeling.dtype is np.uint16
    return SceneFile("masks/{}.tif", of_mask(origin.size, origin.grid, ignore=labeling.ignore, wide=wide), _labels)


def _labels(labels: Labels) -> Array:
    return labels.pixels


def _color(origin: Origin, rendering: Rendering, labeling: Labeling) -> Iterator[SceneFile]:
    palette = rendering.palette
    layout = of_color(origin.size, origin.grid, palette, ignore=rendering.ignore_label)
    pixels: Callable[[Labels], Array] = _labels if layout.bands == 1 else lambda labels: palette[labels.pixels]
    yield SceneFile("color/{}.tif", layout, pixels)


def _confidence(origin: Origin, rendering: Rendering, labeling: Labeling) -> Iterator[SceneFile]:
    layout = of_confidence(origin.size, origin.grid)
    if not labeling.has_planes:
        yield SceneFile("confidence/{}.tif", layout, _sure, partial(_seen, labeling=labeling))
        return
    for channel, _, folder in rendering.folders:
        sure, seen = partial(_sure, channel=channel), partial(_is_sure, channel=channel)
        yield SceneFile(f"confidence/{folder}/{{}}.tif", layout, sure, seen)


def _sure(labels: Labels, channel: int | None = None) -> Array:
    if labels.confidence is None:
        raise ValueError("confidence was asked for and not kept")
    return np.asarray(_EIGHT_BITS.take(labels.confidence if channel is None else labels.confidence[channel]))


def _is_sure(labels: Labels, channel: int) -> Array:
    return np.asarray(_sure(labels, channel) > 0)


def _seen(labels: Labels, labeling: Labeling) -> Array:
    """Pixels with data: where there is none the ignore label is, without any confidence."""
    return np.asarray((labels.pixels != labeling.ignore) | (_sure(labels) > 0))


def _binary(origin: Origin, rendering: Rendering, labeling: Labeling) -> Iterator[SceneFile]:
    for channel, class_id, folder in rendering.folders:

        def pixels(labels: Labels, channel: int = channel, class_id: int = class_id) -> Array:
            there = labels.pixels[channel] if labels.are_planes else labels.pixels == class_id
            return np.asarray(there.view(np.uint8) * np.uint8(255))

        yield SceneFile(f"binary/{folder}/{{}}.tif", of_binary(origin.size, origin.grid), pixels)


_MAKERS: dict[str, Callable[[Origin, Rendering, Labeling], Iterator[SceneFile]]] = {
    "binary": _binary,
    "color": _color,
    "confidence": _confidence,
}
