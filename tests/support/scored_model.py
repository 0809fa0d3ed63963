"""A model that gives outputs that are known beforehand: ties, infinities and NaN among them."""

import numpy as np
import tensorflow as tf

from maskbeam.pipeline.models.loading.loaded_model import LoadedModel, TensorSpec
from maskbeam.pipeline.models.probing.probe import Probe
from maskbeam.transforms.elements import Array
from maskbeam.transforms.head import KINDS, Head
from maskbeam.transforms.normalize import parse_normalization
from maskbeam.transforms.resampling.prepare import InputSpec

N, H, W, C = 3, 6, 10, 4
RANDOM = np.random.default_rng(3)
LOGITS = RANDOM.normal(0, 4, (N, H, W, C)).astype(np.float32)
LOGITS[0, 0] = 0
LOGITS[1, 1, :3] = [[np.inf, 0, np.inf, 1], [-np.inf] * 4, [-np.inf, 0, np.inf, 1]]
LOGITS[2, 5, 5:] = np.nan
LOGITS[2, 4, 1, 2] = np.nan
# A plane of value i asks for output i.
PLANES = np.zeros((N, H, W, 1), np.float32) + np.arange(N, dtype=np.float32)[:, None, None, None]
FLOAT_KINDS = [kind for kind in KINDS if kind != "ids"]


def values_of(kind: str) -> Array:
    """Canonical values such as a head of this kind emits, some of them NaN."""
    values = LOGITS if kind in ("logits", "probabilities") or "multilabel" in kind else LOGITS[..., :1]
    with np.errstate(invalid="ignore"):
        if kind == "probabilities":
            powers = np.exp(np.clip(values, -1e3, 60))
            return np.asarray(powers / powers.sum(axis=-1, keepdims=True))
        return values if "logits" in kind else 1 / (1 + np.exp(-values))


def answering(
    outputs: Array, head: Head, *, size: tuple[int | None, int | None] = (H, W)
) -> tuple[LoadedModel, Probe]:
    """A model that gives fixed outputs, and its probe."""

    def call(batch: tf.Tensor) -> tuple[tf.Tensor, ...]:
        return (tf.gather(tf.constant(outputs), tf.cast(batch[:, 0, 0, 0], tf.int32)),)

    inputs = (TensorSpec("image", (None, *size, 1), "float32"),)
    loaded = LoadedModel(call, "keras", inputs, (TensorSpec("scores", outputs.shape, outputs.dtype.name),))
    none = parse_normalization("none")
    return loaded, Probe(InputSpec(*size, 1), none, "rgb", False, head, (H, W), (H, W), ())
