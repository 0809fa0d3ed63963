"""What goes around a model in its own graph: scaling before it, the canonical layout and the argmax after it."""

from collections.abc import Callable
from dataclasses import replace

import tensorflow as tf

from pipeline.models.keras_model import LoadedModel
from pipeline.models.lean import LeanModel
from pipeline.models.probe import Probe, not_as_probed
from transforms.head import EXCLUSIVE, Head, canonical, cut
from transforms.normalize import normalize

UNIT = 65535
# Up to this many channels it pays to bring them in front before reducing over them: over 3 of them that halved the
# CPU time of all that follows the model, over 21 it cost a quarter more.
FEW = 8

Scoring = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor, tf.Tensor]]


def make_scoring(
    loaded: LoadedModel, probe: Probe, *, end: str, threshold: float = 0.5, in_front: int = FEW
) -> Scoring:
    """Wraps a model so that it takes planes and gives scores; for `tf.function`.

    Args:
        loaded: The model.
        probe: How it is fed and read.
        end: `logits` for what the head emits, float32 `[N, h, w, C]`; `labels` for class channels `[N, h, w]`, uint8
            (uint16 above 256 classes), the lowest of equal ones, 0 where there is a NaN. A head of ids gives int32 at
            either end.
        threshold: Probability above which a sigmoid's second class is there.
        in_front: Up to how many channels are brought in front of the rest before they are reduced.

    Returns:
        A function of planes `[N, h, w, C]` on a scale of 0..255. It returns the end asked for; int32 `[N, h]`, each
        pixel's winning probability as `round(p * 65535)`, halves to even, summed over its row, because a whole
        image's sum needs more than the 32 bits that all engines have; and int32 `[N]`, the number of pixels with a
        NaN, which count 0 in those sums. Infinities compare as the largest finite numbers do.
    """
    if end == "labels" and probe.head.is_multilabel:
        raise ValueError("classes that are independent of each other have no argmax")

    lean = LeanModel(loaded.model)

    def score(planes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        with lean.tracing():
            values = forward(planes, loaded, probe)
        if probe.head.kind == "ids":
            return _score_ids(values)
        if values.shape[-1] not in (None, probe.head.channels):
            raise not_as_probed(f"{values.shape[-1]} channels", f"{probe.head.channels}")
        values = tf.cast(values, tf.float32)
        scores, axis = (values, -1) if probe.head.channels > in_front else (tf.transpose(values, (0, 3, 1, 2)), 1)
        nan = tf.reduce_any(tf.math.is_nan(values), axis=-1)
        sureness = _sum_units(tf.where(nan, 0.0, winning_probability(scores, probe.head, axis=axis)))
        ending = values if end == "logits" else _labels(scores, nan, probe.head, threshold, axis=axis)
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
    if head.layout == "flat" and head.grid is None:
        _, height, width, _ = tf.unstack(tf.shape(planes))
        head = replace(head, grid=(height // probe.output_stride, width // probe.output_stride))
    return canonical(output, head, xp=tf)


def output_index(loaded: LoadedModel, name: str | None) -> int:
    """The place of an output among the model's; the first where there is no name."""
    return 0 if name is None else [output.name for output in loaded.outputs].index(name)


def winning_probability(values: tf.Tensor, head: Head, *, axis: int) -> tf.Tensor:
    """How sure the model is of each pixel `[N, h, w]`, from canonical values whose channels lie along `axis`.

    The largest probability; of a single channel the larger of p and 1 - p; of independent classes the mean of that
    over classes, since each is a decision of its own.
    """
    if head.kind == "logits":
        # The largest softmax alone, at two thirds of the cost of all; of an infinity it would be NaN.
        values = tf.clip_by_value(values, tf.float32.min, tf.float32.max)
        return 1 / tf.reduce_sum(tf.exp(values - tf.reduce_max(values, axis=axis, keepdims=True)), axis=axis)
    if head.kind in EXCLUSIVE:
        return tf.reduce_max(values, axis=axis)
    chances = tf.sigmoid(values) if head.kind.endswith("_logits") else values
    return tf.reduce_mean(tf.maximum(chances, 1 - chances), axis=axis)


def _labels(values: tf.Tensor, nan: tf.Tensor, head: Head, threshold: float, *, axis: int) -> tf.Tensor:
    if head.kind not in EXCLUSIVE:
        labels = tf.cast(tf.squeeze(values, axis) > cut(threshold, head.kind), tf.int32)
    elif axis == -1:
        labels = tf.argmax(values, axis=axis, output_type=tf.int32)
    else:
        # The lowest channel that holds the largest value, which is what argmax means, at half its cost.
        count = values.shape[axis]
        holds = tf.equal(values, tf.reduce_max(values, axis=axis, keepdims=True))
        labels = tf.reduce_min(tf.where(holds, tf.reshape(tf.range(count), (1, count, 1, 1)), count), axis=axis)
    dtype = tf.uint8 if (head.classes or 0) <= 256 else tf.uint16
    return tf.cast(tf.where(nan, 0, labels), dtype)


def _score_ids(ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    nan = tf.math.is_nan(ids) if ids.dtype.is_floating else tf.zeros_like(ids, tf.bool)
    ids = tf.cast(tf.where(nan, tf.zeros_like(ids), ids), tf.int32)
    return ids, tf.zeros_like(ids[:, :, 0]), _count(nan)


def _sum_units(shares: tf.Tensor) -> tf.Tensor:
    units = tf.round(tf.clip_by_value(shares, 0.0, 1.0) * UNIT)
    return tf.reduce_sum(tf.cast(units, tf.int32), axis=2)


def _count(places: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.cast(places, tf.int32), axis=(1, 2))
