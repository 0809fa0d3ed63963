"""Scenes and their labels as small as a screen shows them: no scene is read as a whole for a picture."""

import numpy as np

from maskbeam.pipeline.inputs.scenes import Scenes, raster_again, rules_of
from maskbeam.pipeline.inputs.small_images import seen
from maskbeam.pipeline.job.job import Job
from maskbeam.pipeline.output.geotiff.written_raster import opened
from maskbeam.transforms.elements import Array, Source
from maskbeam.transforms.products.registry import product


def scene_thumbnail(job: Job, source: Source, longest: int) -> Array | None:
    """A scene `[h, w, C]`, uint8 or float32 of 0..255 by its stated range, of at most `longest` a side.

    Returns:
        None for an image that is no raster. With `raw` values have no range: all that has data is grey.

    Raises:
        ImageError: It is gone, or another one now, or cannot be read.
    """
    origin = raster_again(source)
    if origin is None or job.tiling is None:
        return None
    rules = rules_of(job.options)
    with Scenes(rules, job.probe.spec.channels, job.tiling, job.names).opened(origin) as raster:
        return seen(raster, longest, is_raw=rules.raw)


def scene_labels(job: Job, name: str, size: tuple[int, int]) -> Array:
    """The labels `[h, w]` of an image of this encoded id, as they were written, at another height and width.

    Raises:
        ValueError: A mask is damaged, or gone.
    """
    tree, rendering = job.tree, job.rendering
    if not job.labeling.has_planes:
        return _thumbnail(tree.uri(tree.record.format(name)), size)
    labels = np.full(size, rendering.ignore_label, job.labeling.dtype)
    for _, class_id, folder in rendering.folders:
        path = product("binary").path(folder).format(name).removesuffix("png") + "tif"
        # Where classes overlap the later one is seen.
        labels[_thumbnail(tree.uri(path), size) > 0] = class_id
    return labels


def _thumbnail(uri: str, size: tuple[int, int]) -> Array:
    with opened(uri) as file:
        return file.thumbnail(size)
