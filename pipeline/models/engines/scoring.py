"""The steps around a model in its own graph: scaling before it, the canonical layout and the argmax after it."""

from collections.abc import Callable
from dataclasses import replace
from functools import reduce
from typing import Any, TypeAlias

import tensorflow as tf

from maskbeam.pipeline.models.engines.keras_cpu.fold import LeanModel
from maskbeam.pipeline.models.loading.loaded_model import LoadedModel
from maskbeam.pipeline.models.probing.probe import Probe, not_as_probed
from maskbeam.transforms.head import EXCLUSIVE, Head, canonical, cut
from maskbeam.transforms.normalize import normalize

UNIT = 65535
# Up to this many channels each is a map `[N, h, w]` of its own for all that follows the model. Engines are slow to
# reduce an axis of three: at 128 x 128 that took OpenVINO 1.2 of 13 ms, and takes 0.5.
FEW = 8

Scoring = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor, tf.Tensor]]


# Of channels: `[N, h, w, C]`, or few of them apart, each `[N, h, w]`.
Scores: TypeAlias = tf.Tensor | list[tf.Tensor]


def make_scoring(loaded: LoadedModel, probe: Probe, *, end: str, threshold: float = 0.5) -> Scoring:
    """Wraps a model so that it takes planes and gives scores; for `tf.function`.

    Args:
        loaded: The model.
        probe: How it is fed and read.
        end: `logits` for what the head emits, float32 `[N, h, w, C]`; `labels` for class channels `[N, h, w]`, uint8
            (uint16 above 256 classes), the lowest of equal ones, 0 where there is a NaN. A head of ids gives int32 at
            either end.
        threshold: Probability above which a sigmoid's second class is there.

    Returns:
        A function of planes `[N, h, w, C]` on a scale of 0..255. It returns the end asked for; int32 `[N, h]`, each
        pixel's winning probability as `round(p * 65535)`, halves to even, summed over its row, because a whole
        image's sum needs more than the 32 bits that all engines have; and int32 `[N]`, the number of pixels with a
        NaN, which count 0 in those sums. Infinities compare as the largest finite numbers do.
    """
    if end == "labels" and probe.head.is_multilabel:
        raise ValueError("classes that are independent of each other have no argmax")

    lean = LeanModel(loaded.model, plain=probe.plain)

    def score(planes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        with lean.tracing():
            values = forward(planes, loaded, probe)
        if probe.head.kind == "ids":
            return _score_ids(values)
        if values.shape[-1] not in (None, probe.head.channels):
            raise not_as_probed(f"{values.shape[-1]} channels", f"{probe.head.channels}")
        values = tf.cast(values, tf.float32)
        scores = values if probe.head.channels > FEW else tf.unstack(values, probe.head.channels, axis=-1)
        nan = _over_channels(tf.logical_or, tf.reduce_any, _each(tf.math.is_nan, scores))
        sureness = _sum_units(tf.where(nan, 0.0, winning_probability(scores, probe.head)))
        ending = values if end == "logits" else _labels(scores, nan, probe.head, threshold)
        return ending, sureness, _count(nan)

    return score


def forward(planes: tf.Tensor, loaded: LoadedModel, probe: Probe) -> tf.Tensor:
    """Runs the model on planes: canonical values `[N, h, w, C]` as its head emits them; ids `[N, h, w]`."""
    batch = normalize(tf.cast(planes, tf.float32), probe.normalization, probe.channel_order)
    if probe.channels_first:
        batch = tf.transpose(batch, (0, 3, 1, 2))
    # The model's own dtype, cut and not rounded for integers: what Keras does when it is given floats.
    outputs = loaded.call(tf.cast(batch, loaded.inputs[0].dtype))
    head = probe.head
    output = outputs[output_index(loaded, head.output_name)]
    if head.is_flat and head.grid is None:
        _, height, width, _ = tf.unstack(tf.shape(planes))
        head = replace(head, grid=(height // probe.output_stride, width // probe.output_stride))
    return canonical(output, head, xp=tf)


def output_index(loaded: LoadedModel, name: str | None) -> int:
    """The place of an output among the model's; the first where there is no name."""
    return 0 if name is None else [output.name for output in loaded.outputs].index(name)


def winning_probability(scores: Scores, head: Head) -> tf.Tensor:
    """How sure the model is of each pixel `[N, h, w]`, from canonical scores.

    The largest probability; of a single channel the larger of p and 1 - p; of independent classes the mean of that
    over classes, since each is a decision of its own.
    """
    if head.kind == "logits":
        # The largest softmax alone, at two thirds of the cost of all; of an infinity it would be NaN.
        scores = _each(lambda values: tf.clip_by_value(values, tf.float32.min, tf.float32.max), scores)
        return 1 / _sum(_each(lambda values, top: tf.exp(values - top), scores, _largest(scores)))
    if head.kind in EXCLUSIVE:
        return _largest(scores)
    chances = _each(tf.sigmoid, scores) if head.kind.endswith("_logits") else scores
    return _sum(_each(lambda chance: tf.maximum(chance, 1 - chance), chances)) / head.channels


def _labels(scores: Scores, nan: tf.Tensor, head: Head, threshold: float) -> tf.Tensor:
    if head.kind not in EXCLUSIVE:
        # Of one channel.
        labels = tf.cast(_largest(scores) > cut(threshold, head.kind), tf.int32)
    elif isinstance(scores, list):
        labels = _winners(scores)
    else:
        labels = tf.argmax(scores, axis=-1, output_type=tf.int32)
    dtype = tf.uint8 if (head.classes or 0) <= 256 else tf.uint16
    return tf.cast(tf.where(nan, 0, labels), dtype)


def _winners(scores: list[tf.Tensor]) -> tf.Tensor:
    """The lowest channel that holds the largest score: what argmax means."""
    best, labels = scores[0], tf.zeros_like(scores[0], tf.int32)
    for channel, values in enumerate(scores[1:], 1):
        labels = tf.where(values > best, channel, labels)
        best = tf.maximum(best, values)
    return labels


def _each(function: Callable[..., tf.Tensor], scores: Scores, *of_pixels: tf.Tensor) -> Scores:
    """A function of the score of each channel, and of something `[N, h, w]` that all channels of a pixel share."""
    if isinstance(scores, list):
        return [function(values, *of_pixels) for values in scores]
    return function(scores, *(values[..., tf.newaxis] for values in of_pixels))


def _over_channels(pair: Callable[..., tf.Tensor], all_at_once: Callable[..., tf.Tensor], scores: Scores) -> Any:
    return reduce(pair, scores) if isinstance(scores, list) else all_at_once(scores, axis=-1)


def _largest(scores: Scores) -> tf.Tensor:
    return _over_channels(tf.maximum, tf.reduce_max, scores)


def _sum(scores: Scores) -> tf.Tensor:
    return _over_channels(tf.add, tf.reduce_sum, scores)


def _score_ids(ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    nan = tf.math.is_nan(ids) if ids.dtype.is_floating else tf.zeros_like(ids, tf.bool)
    ids = tf.cast(tf.where(nan, tf.zeros_like(ids), ids), tf.int32)
    return ids, tf.zeros_like(ids[:, :, 0]), _count(nan)


def _sum_units(shares: tf.Tensor) -> tf.Tensor:
    units = tf.round(tf.clip_by_value(shares, 0.0, 1.0) * UNIT)
    return tf.reduce_sum(tf.cast(units, tf.int32), axis=2)


def _count(places: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.cast(places, tf.int32), axis=(1, 2))
