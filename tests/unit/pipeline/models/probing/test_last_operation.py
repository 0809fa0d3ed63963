from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from maskbeam.pipeline.models.loading.loaded_model import LoadedModel, TensorSpec
from maskbeam.pipeline.models.probing.last_operation import last_operation
from maskbeam.pipeline.models.probing.probe import probe_model
from maskbeam.pipeline.options import ModelOptions

KERNEL = np.random.default_rng(0).normal(size=(3, 3, 3, 2)).astype(np.float32)


def logits(batch: Any) -> Any:
    return tf.nn.conv2d(batch, KERNEL, 1, "SAME")


def model(*endings: Callable[[Any], Any]) -> LoadedModel:
    image = TensorSpec("image", (None, 8, 16, 3), "float32")
    outputs = tuple(TensorSpec(str(i), (None,) * 4, "float32") for i in range(len(endings)))
    return LoadedModel(lambda batch: tuple(end(logits(batch)) for end in endings), "saved_model", (image,), outputs)


@pytest.mark.parametrize(
    ("ending", "name"),
    [
        (lambda x: x, "linear"),
        (lambda x: x * x, None),
        (tf.nn.softmax, "softmax"),
        (tf.nn.softsign, "softsign"),
        (tf.nn.softplus, "softplus"),
        (lambda x: tf.transpose(tf.nn.softmax(x), (0, 3, 1, 2)), "softmax"),
        (lambda x: tf.image.resize(tf.sigmoid(x), (16, 32)), "sigmoid"),
        (lambda x: tf.cast(tf.argmax(x, -1), tf.float32)[..., None], "argmax"),
        (tf.function(lambda x: tf.identity(tf.function(tf.sigmoid)(x))), "sigmoid"),
        (lambda x: tf.reduce_max(x, -1, keepdims=True), None),
    ],
)
def test_ending_is_found_through_what_keeps_its_meaning(ending: Callable[[Any], Any], name: str | None) -> None:
    assert last_operation(model(ending), 0, (8, 16)) == name


def test_each_output_has_its_own() -> None:
    two = model(tf.sigmoid, tf.nn.softmax)
    assert [last_operation(two, i, (8, 16)) for i in range(2)] == ["sigmoid", "softmax"]


def test_a_model_that_cannot_be_traced_for_free_sizes_is_traced_for_the_probes() -> None:
    def doubled(batch: Any) -> tuple[Any, ...]:
        height, width = (2 * side for side in batch.shape[1:3])
        return (tf.image.resize(tf.sigmoid(logits(batch)), (height, width)),)

    free = replace(model(tf.identity), call=doubled, inputs=(TensorSpec("image", (None, None, None, 3), "float32"),))
    assert last_operation(free, 0, (8, 16)) == "sigmoid"


def test_what_a_model_raises_while_it_is_traced_tells_nothing() -> None:
    def eager_only(batch: Any) -> tuple[Any, ...]:
        return (batch.numpy(),)

    assert last_operation(replace(model(tf.identity), call=eager_only), 0, (8, 16)) is None


def test_a_saved_model_of_one_sigmoid_channel_needs_no_flag(tmp_path: Path) -> None:
    segmenter = tf.Module()
    segmenter.kernel = tf.Variable(KERNEL[..., :1])
    segmenter.predict = tf.function(
        lambda image: {"mask": tf.sigmoid(tf.nn.conv2d(image, segmenter.kernel, 1, "SAME"))},
        input_signature=[tf.TensorSpec((None, 8, 16, 3), name="image")],
    )
    tf.saved_model.save(segmenter, str(tmp_path), signatures=segmenter.predict)
    restored = tf.saved_model.load(str(tmp_path))
    signature = restored.signatures["serving_default"]
    loaded = LoadedModel(
        lambda batch: (signature(image=batch)["mask"],),
        "saved_model",
        (TensorSpec("image", (None, 8, 16, 3), "float32"),),
        (TensorSpec("mask", (None, 8, 16, 1), "float32"),),
    )
    assert probe_model(loaded, ModelOptions(normalize="0..1")).head.kind == "sigmoid"
