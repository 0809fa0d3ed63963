"""A few finished images as overlays under `reports/samples/`, for a person to look at."""

from collections.abc import Sequence
from functools import partial

import numpy as np

from maskbeam.pipeline.inputs.ids import encode_id
from maskbeam.pipeline.inputs.read import reread
from maskbeam.pipeline.job.job import Job
from maskbeam.pipeline.job.steps import Decoder, decode_for
from maskbeam.pipeline.output.ours import SAMPLE_TEXT
from maskbeam.pipeline.output.outcome import Outcome
from maskbeam.pipeline.output.tree import overwrite
from maskbeam.pipeline.reports.sample_scenes import scene_labels, scene_thumbnail
from maskbeam.pipeline.storage import NotFound
from maskbeam.pipeline.text.wording import plural
from maskbeam.transforms.codecs.encode import decode_mask, encode_jpeg
from maskbeam.transforms.elements import Array, Source
from maskbeam.transforms.errors import ImageError
from maskbeam.transforms.products.overlay import overlay
from maskbeam.transforms.products.registry import product
from maskbeam.transforms.resampling.prepare import as_uint8
from maskbeam.transforms.resampling.resize import resize_nearest

# Pixels of a sample's longer side: of larger images every second, third ... pixel is drawn, all that a screen shows.
LONGEST = 2048


def draw_samples(job: Job, outcomes: Sequence[Outcome]) -> list[str]:
    """Writes an overlay for each, made from the mask as it was written and the source as it is now.

    Returns:
        A warning, or none. A source that has vanished since gives no sample: it is no reason to fail a run that has
        its mask.
    """
    missing = [_draw_sample(job, outcome) for outcome in outcomes].count(False)
    if not missing:
        return []
    of_all = plural(len(outcomes), "overlay")
    return [f"reports/samples/ lacks {missing} of {of_all}: sources or masks cannot be read any more"]


def _draw_sample(job: Job, outcome: Outcome) -> bool:
    name = encode_id(outcome.image_id)
    try:
        pixels, labels = (_seen_scene if job.is_geotiff else _seen)(job, name, outcome.source)
    except (ImageError, NotFound, ValueError):
        return False
    rendering = job.rendering
    drawn = overlay(pixels, labels, rendering.palette, opacity=rendering.opacity, ignore=rendering.ignore_label)
    overwrite(job.tree, f"reports/samples/{name}.jpg", encode_jpeg(drawn, text=SAMPLE_TEXT))
    return True


def _seen(job: Job, name: str, source: Source) -> tuple[Array, Array]:
    """An image `[h, w, C]` and its labels `[h, w]`, as large as a screen shows them."""
    image = _for_a_person(job)(reread(source, job.options.read))
    return _screen_size(as_uint8(image.pixels), _labels(job, name))


def _seen_scene(job: Job, name: str, source: Source) -> tuple[Array, Array]:
    """The same where masks are GeoTIFFs."""
    pixels = scene_thumbnail(job, source, LONGEST)
    if pixels is None:
        image = as_uint8(_for_a_person(job)(reread(source, job.options.read)).pixels)
        step = -(-max(image.shape[:2]) // LONGEST)
        pixels = image[::step, ::step]
    return as_uint8(pixels), scene_labels(job, name, pixels.shape[:2])


def _screen_size(pixels: Array, labels: Array) -> tuple[Array, Array]:
    step = -(-max(pixels.shape[:2]) // LONGEST)
    seen = pixels[::step, ::step]
    if labels.shape == pixels.shape[:2]:
        return seen, labels[::step, ::step]
    return seen, resize_nearest(labels[..., None], *seen.shape[:2])[..., 0]


def _for_a_person(job: Job) -> Decoder:
    # JPEGs at the scale that a screen shows, and without the model's own decoder, whose import takes seconds.
    return partial(decode_for(job), fast_scale=(LONGEST // 2, LONGEST // 2), jpeg_decoder=None)


def _labels(job: Job, name: str) -> Array:
    tree, rendering = job.tree, job.rendering
    if not job.labeling.has_planes:
        return decode_mask(tree.storage.read(tree.uri(tree.record.format(name))))
    planes = [
        (class_id, decode_mask(tree.storage.read(tree.uri(product("binary").path(folder).format(name)))))
        for _, class_id, folder in rendering.folders
    ]
    # Where classes overlap the later one is seen.
    labels = np.full(planes[0][1].shape, rendering.ignore_label, job.labeling.dtype)
    for class_id, plane in planes:
        labels[plane > 0] = class_id
    return labels
