"""Transposed convolutions with fewer multiplications are those of Keras, and are only taken where they are."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from pipeline.models.transposed import fewer_products, upsample_at_once, upsample_by_sums
from transforms.elements import Array


def numbers(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def plain(images: Array, kernel: Array, stride: int) -> Array:
    """Every pixel adds its kernel to the output; what lies beyond the `same` size is cut off."""
    count, height, width, _ = images.shape
    size, _, filters, _ = kernel.shape
    whole = np.zeros((count, stride * (height - 1) + size, stride * (width - 1) + size, filters))
    for row in range(height):
        for column in range(width):
            grown = np.einsum("nc,abfc->nabf", images[:, row, column].astype(float), kernel.astype(float))
            top, left = stride * row, stride * column
            whole[:, top : top + size, left : left + size] += grown
    cut = (size - stride) // 2
    return whole[:, cut : cut + stride * height, cut : cut + stride * width]


@pytest.mark.parametrize(("size", "stride"), [(2, 2), (3, 2), (4, 2), (5, 2), (6, 2), (3, 3), (7, 3), (8, 4), (5, 4)])
def test_one_convolution_gives_what_the_transposed_one_does(size: int, stride: int) -> None:
    images, kernel = numbers(2, 5, 4, 6), numbers(size, size, 3, 6)
    np.testing.assert_allclose(upsample_at_once(images, kernel, stride), plain(images, kernel, stride), atol=1e-4)


@pytest.mark.parametrize(("height", "width"), [(2, 2), (4, 10), (8, 6)])
def test_sums_give_what_the_transposed_convolution_does(height: int, width: int) -> None:
    images, kernel = numbers(2, height, width, 7), numbers(3, 3, 5, 7)
    np.testing.assert_allclose(upsample_by_sums(tf.constant(images), kernel), plain(images, kernel, 2), atol=1e-4)


def test_an_image_gives_the_same_bits_in_every_batch() -> None:
    images, kernel = tf.constant(numbers(16, 8, 8, 1088)), numbers(3, 3, 256, 1088)
    upsample = tf.function(lambda batch: upsample_by_sums(batch, kernel))
    whole = upsample(images)
    for count in (1, 2, 5, 8):
        np.testing.assert_array_equal(upsample(images[:count]), whole[:count])


def model_of(library: Any, layer: Any, shape: tuple[int | None, ...]) -> Any:
    inputs = library.Input(shape)
    model = library.Model(inputs, layer(library.layers.ReLU()(inputs)))
    model.set_weights([numbers(*np.shape(weight)) for weight in model.get_weights()])
    return model


def operations(call: Callable[[Any], Any], shape: tuple[int | None, ...]) -> set[str]:
    traced = tf.function(call, autograph=False).get_concrete_function(tf.TensorSpec((None, *shape)))
    return {operation.type for operation in traced.graph.get_operations()}


FEW = {"filters": 3, "kernel_size": 3, "strides": 2, "padding": "same"}
WIDE = {"filters": 256, "kernel_size": 3, "strides": 2, "padding": "same", "activation": "relu"}


@pytest.mark.parametrize("library", [keras, tf_keras])
@pytest.mark.parametrize(
    ("settings", "shape", "with_what"),
    [
        (FEW, (None, None, 5), "DepthToSpace"),
        (FEW | {"kernel_size": 4, "activation": "softmax"}, (6, 9, 5), "DepthToSpace"),
        (FEW | {"filters": 1, "kernel_size": 8, "strides": 4, "use_bias": False}, (6, 9, 5), "DepthToSpace"),
        (WIDE, (8, 8, 5), "BatchMatMulV2"),
        (WIDE | {"use_bias": False}, (6, 12, 5), "BatchMatMulV2"),
    ],
)
def test_a_layer_that_gains_is_computed_so(
    library: Any, settings: dict[str, Any], shape: tuple[int | None, ...], with_what: str
) -> None:
    model = model_of(library, library.layers.Conv2DTranspose(**settings), shape)
    images = numbers(3, *(side or 6 for side in shape))

    def call(batch: Any) -> Any:
        with fewer_products(model):
            return model(batch, training=False)

    np.testing.assert_allclose(tf.function(call)(images), model(images, training=False), atol=2e-3)
    assert with_what in operations(call, shape)
    assert "Conv2DBackpropInput" not in operations(call, shape)
    assert "Conv2DBackpropInput" in operations(lambda batch: model(batch, training=False), shape)


@pytest.mark.parametrize(
    ("settings", "shape"),
    [
        (FEW | {"filters": 5}, (8, 8, 5)),
        (FEW | {"padding": "valid"}, (8, 8, 5)),
        (FEW | {"output_padding": 1}, (8, 8, 5)),
        (FEW | {"kernel_size": (3, 4)}, (8, 8, 5)),
        (FEW | {"strides": (2, 1)}, (8, 8, 5)),
        (FEW | {"kernel_size": 2, "strides": 1, "dilation_rate": 2}, (8, 8, 5)),
        (FEW | {"kernel_size": 1}, (8, 8, 5)),
        (FEW | {"strides": 1}, (8, 8, 5)),
        (FEW | {"dtype": "float64"}, (8, 8, 5)),
        (WIDE | {"filters": 255}, (8, 8, 5)),
        (WIDE | {"kernel_size": 4}, (8, 8, 5)),
        (WIDE, (7, 10, 5)),
        (WIDE, (10, 7, 5)),
        (WIDE, (4, 14, 5)),
        (WIDE, (None, 8, 5)),
    ],
)
def test_every_other_layer_stays_as_it_is(settings: dict[str, Any], shape: tuple[int | None, ...]) -> None:
    model = model_of(keras, keras.layers.Conv2DTranspose(**settings), shape)
    images = numbers(3, *(side or 6 for side in shape))
    with fewer_products(model):
        mine = model(images, training=False)
    np.testing.assert_array_equal(mine, model(images, training=False))


def test_a_layer_of_ones_own_keeps_its_call() -> None:
    class Conv2DTranspose(keras.layers.Conv2DTranspose):  # type: ignore[misc]
        def call(self, inputs: Any) -> Any:
            return 2 * super().call(inputs)

    model = model_of(keras, Conv2DTranspose(**FEW), (6, 6, 5))
    images = numbers(2, 6, 6, 5)
    with fewer_products(model):
        mine = model(images, training=False)
    np.testing.assert_array_equal(mine, model(images, training=False))


def test_nothing_changes_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(keras, keras.layers.Conv2DTranspose(**FEW), (6, 6, 5))
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [kind])
    with fewer_products(model):
        assert "call" not in vars(model.layers[-1])


def test_layers_are_themselves_again_afterwards() -> None:
    model = model_of(keras, keras.layers.Conv2DTranspose(**FEW), (6, 6, 5))
    with fewer_products(model):
        assert "call" in vars(model.layers[-1])
    assert "call" not in vars(model.layers[-1])
