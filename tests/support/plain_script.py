"""What a person would write without maskbeam: Pillow, TensorFlow's resize, the model, argmax. An oracle for runs."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import tensorflow as tf

from maskbeam.transforms.elements import Array


def read_pixels(path: Path) -> Array:
    with PIL.Image.open(path) as image:
        return np.asarray(image)


def read_rgb(path: Path) -> Array:
    with PIL.Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def scores_of(model: Any, planes: Array) -> Array:
    """The model's output for planes `[N, H, W, C]` as they are, with Keras's own call."""
    return np.asarray(model(tf.constant(planes), training=False))


def resized(image: Array, height: int, width: int, method: str = "bilinear") -> Array:
    """`[H, W, C]` to `[height, width, C]` by `tf.image.resize`."""
    return np.asarray(tf.image.resize(image, (height, width), method=method))


def argmax_at(scores: Array, height: int, width: int) -> Array:
    """Scores `[h, w, C]` brought to the image's size, and the largest one's channel."""
    labels: Array = resized(scores, height, width).argmax(-1)
    return labels


def agreement(one: Array, other: Array) -> float:
    assert one.shape == other.shape
    return float((one == other).mean())


def as_file(pixels: Array, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    PIL.Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()
