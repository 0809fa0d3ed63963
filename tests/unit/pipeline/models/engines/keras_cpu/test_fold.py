"""A model that is traced with less work gives what Keras gives, and only layers that are known are touched."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from maskbeam.pipeline.models.engines.keras_cpu.fold import LeanModel
from maskbeam.transforms.elements import Array

LIBRARIES = [keras, tf_keras]
SIDE = 8
# What a batch normalisation is made of, in Keras 3 and Keras 2.
NORMALIZING = {"Mul", "FusedBatchNormV3"}


def numbers(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def filled(model: Any) -> Any:
    """The model with weights that are all different; variances lie above zero."""
    for index, weight in enumerate(model.weights):
        values = 0.3 * np.random.default_rng(index).normal(size=tuple(weight.shape))
        weight.assign(0.2 + abs(values) if "variance" in weight.name else values)
    return model


def functional(library: Any, *layers: Any, shape: tuple[int | None, ...] = (SIDE, SIDE, 5)) -> Any:
    inputs = outputs = library.Input(shape)
    for layer in layers:
        outputs = layer(outputs)
    return filled(library.Model(inputs, outputs))


def lean(model: Any) -> Callable[[Any], Any]:
    traced = LeanModel(model)

    def call(batch: Any) -> Any:
        with traced.tracing():
            return model(batch, training=False)

    return call


def graph_of(call: Callable[[Any], Any], shape: tuple[int | None, ...] = (SIDE, SIDE, 5)) -> Any:
    return tf.function(call, autograph=False).get_concrete_function(tf.TensorSpec((None, *shape)))


def operations(call: Callable[[Any], Any], shape: tuple[int | None, ...] = (SIDE, SIDE, 5)) -> set[str]:
    """The kinds of operations that the result is made from; TensorFlow drops all others."""
    reached, waiting = set(), [tensor.op for tensor in graph_of(call, shape).outputs]
    while waiting:
        operation = waiting.pop()
        if operation not in reached:
            reached.add(operation)
            waiting += [tensor.op for tensor in operation.inputs]
    return {operation.type for operation in reached}


def check(model: Any, images: Array | None = None) -> None:
    """The lean model gives what the model does, but for the last bits."""
    images = numbers(3, SIDE, SIDE, 5) if images is None else images
    np.testing.assert_allclose(tf.function(lean(model))(images), model(images, training=False), atol=2e-5, rtol=2e-5)


CONVOLUTIONS = [
    lambda layers, **kw: layers.Conv2D(7, 3, **kw),
    lambda layers, **kw: layers.Conv2D(7, (1, 3), strides=2, padding="same", **kw),
    lambda layers, **kw: layers.Conv2D(7, 3, padding="same", dilation_rate=2, **kw),
    lambda layers, **kw: layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same", **kw),
    lambda layers, **kw: layers.DepthwiseConv2D(3, strides=2, **kw),
    lambda layers, **kw: layers.SeparableConv2D(7, 3, padding="same", depth_multiplier=2, **kw),
    lambda layers, **kw: layers.Conv2DTranspose(7, 3, strides=2, padding="same", **kw),
    lambda layers, **kw: layers.Conv2DTranspose(3, 3, strides=2, padding="same", **kw),
    lambda layers, **kw: layers.Conv2DTranspose(256, 3, strides=2, padding="same", **kw),
    lambda layers, **kw: layers.Conv2DTranspose(5, 3, strides=2, padding="valid", **kw),
]


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("convolution", CONVOLUTIONS)
@pytest.mark.parametrize(
    ("bias", "settings"), [(True, {}), (False, {}), (True, {"scale": False}), (False, {"center": False})]
)
def test_a_normalization_goes_into_the_convolution_before_it(
    library: Any, convolution: Any, bias: bool, settings: dict[str, Any]
) -> None:
    layers = library.layers
    model = functional(
        library, convolution(layers, use_bias=bias), layers.BatchNormalization(**settings), layers.ReLU()
    )
    check(model)
    assert not operations(lean(model)) & NORMALIZING
    assert operations(lambda batch: model(batch, training=False)) & NORMALIZING


@pytest.mark.parametrize("library", LIBRARIES)
def test_it_does_so_wherever_the_layers_lie(library: Any) -> None:
    layers = library.layers

    class Block(layers.Layer):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.convolution, self.normalization = layers.Conv2D(5, 3, padding="same"), layers.BatchNormalization()

        def call(self, inputs: Any, training: bool | None = None) -> Any:
            return self.normalization(self.convolution(inputs), training=training)

    pair = [layers.Conv2D(5, 3, padding="same"), layers.BatchNormalization()]
    sequential = library.Sequential([library.Input((SIDE, SIDE, 5)), *pair])
    model = functional(library, Block(), sequential, layers.ReLU())
    check(model)
    assert not operations(lean(model)) & NORMALIZING


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_convolution_with_several_takers_stays_and_is_computed_once(library: Any) -> None:
    layers = library.layers
    inputs = library.Input((SIDE, SIDE, 5))
    shared = layers.Conv2D(5, 3, padding="same")
    once, twice = shared(inputs), shared(layers.ReLU()(inputs))
    parts = [layers.BatchNormalization()(once), layers.BatchNormalization()(once), layers.BatchNormalization()(twice)]
    model = filled(library.Model(inputs, layers.Concatenate()([once, *parts])))
    check(model)
    assert operations(lean(model)) & NORMALIZING


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_transposed_convolution_that_is_normalized_has_no_weights_made_twice(library: Any) -> None:
    layers = library.layers
    model = functional(library, layers.ReLU(), layers.Conv2DTranspose(**WIDE_LINEAR), layers.BatchNormalization())
    check(model)
    assert "BatchMatMulV2" in operations(lean(model))
    # The side by side sums of rows and columns: 16 products, once.
    shapes = [tensor.shape for tensor, _ in graph_of(lean(model)).graph.captures]
    assert len([shape for shape in shapes if shape[:1] == (5,)]) == 16


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(
    "before",
    [
        lambda layers: [layers.Conv2D(5, 3, activation="relu")],
        lambda layers: [layers.Conv2D(5, 3), layers.ReLU()],
        lambda layers: [layers.MaxPooling2D()],
    ],
)
def test_a_normalization_of_something_else_stays(library: Any, before: Any) -> None:
    model = functional(library, *before(library.layers), library.layers.BatchNormalization())
    check(model)
    assert operations(lean(model)) & NORMALIZING


def test_a_normalization_over_another_axis_stays() -> None:
    model = functional(keras, keras.layers.Conv2D(5, 3), keras.layers.BatchNormalization(axis=1))
    check(model)
    assert operations(lean(model)) & NORMALIZING


def test_a_normalization_in_training_stays() -> None:
    class Training(keras.layers.Layer):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.normalization = keras.layers.BatchNormalization(momentum=1.0)

        def call(self, inputs: Any) -> Any:
            return self.normalization(inputs, training=True)

    check(functional(keras, keras.layers.Conv2D(5, 3), Training()))


@pytest.mark.parametrize("activation", ["relu", "softmax", None])
def test_biases_are_added_by_the_operation_that_tensorflow_fuses(activation: str | None) -> None:
    model = functional(keras, keras.layers.Conv2D(5, 3, activation=activation), keras.layers.DepthwiseConv2D(3))
    check(model)
    assert "BiasAdd" in operations(lean(model))
    assert "AddV2" not in operations(lean(model))


def test_traces_share_the_weights_that_are_made() -> None:
    model = functional(keras, keras.layers.Conv2D(5, 3), keras.layers.BatchNormalization())
    call = lean(model)
    first, second = ({id(tensor) for tensor, _ in graph_of(call).graph.captures} for _ in range(2))
    assert first == second


def transposed(library: Any, shape: tuple[int | None, ...], **settings: Any) -> Any:
    return functional(library, library.layers.ReLU(), library.layers.Conv2DTranspose(**settings), shape=shape)


FEW = {"filters": 3, "kernel_size": 3, "strides": 2, "padding": "same"}
WIDE_LINEAR = {"filters": 256, "kernel_size": 3, "strides": 2, "padding": "same"}
WIDE = WIDE_LINEAR | {"activation": "relu"}


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(
    ("settings", "shape", "with_what"),
    [
        (FEW, (None, None, 5), "DepthToSpace"),
        (FEW | {"kernel_size": 4, "activation": "softmax"}, (6, 9, 5), "DepthToSpace"),
        (FEW | {"filters": 1, "kernel_size": 8, "strides": 4, "use_bias": False}, (6, 9, 5), "DepthToSpace"),
        (WIDE, (8, 8, 5), "BatchMatMulV2"),
        (WIDE, (4, 4, 5), "BatchMatMulV2"),
        (WIDE | {"use_bias": False}, (6, 12, 5), "BatchMatMulV2"),
    ],
)
def test_a_transposed_convolution_that_gains_takes_fewer_products(
    library: Any, settings: dict[str, Any], shape: tuple[int | None, ...], with_what: str
) -> None:
    model = transposed(library, shape, **settings)
    check(model, numbers(3, *(side or 6 for side in shape)))
    assert with_what in operations(lean(model), shape)
    assert "Conv2DBackpropInput" not in operations(lean(model), shape)
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
        (WIDE | {"filters": 255}, (8, 8, 5)),
        (WIDE | {"kernel_size": 4}, (8, 8, 5)),
        (WIDE, (7, 10, 5)),
        (WIDE, (10, 7, 5)),
        (WIDE, (2, 6, 5)),
        (WIDE, (None, 8, 5)),
    ],
)
def test_every_other_transposed_convolution_stays(settings: dict[str, Any], shape: tuple[int | None, ...]) -> None:
    model = transposed(keras, shape, **settings)
    # TensorFlow computes dilated ones on processors of some kinds only.
    if "dilation_rate" not in settings:
        check(model, numbers(3, *(side or 6 for side in shape)))
    assert "Conv2DBackpropInput" in operations(lean(model), shape)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("normalized", [False, True])
@pytest.mark.parametrize(
    ("padding", "convolution"),
    [
        (((0, 1), (0, 1)), lambda layers: layers.Conv2D(7, 3, strides=2, activation="relu")),
        (((0, 1), (0, 1)), lambda layers: layers.DepthwiseConv2D(3, strides=2)),
        (1, lambda layers: layers.SeparableConv2D(7, 3)),
        ((0, 2), lambda layers: layers.Conv2D(7, (1, 3), dilation_rate=2)),
    ],
)
def test_zeros_that_a_convolution_adds_itself_are_not_copied(
    library: Any, normalized: bool, padding: Any, convolution: Callable[[Any], Any]
) -> None:
    layers = library.layers
    after = [layers.BatchNormalization()] if normalized else []
    model = functional(library, layers.ZeroPadding2D(padding), convolution(layers), *after)
    check(model)
    assert "Pad" not in operations(lean(model))
    assert "Pad" in operations(lambda batch: model(batch, training=False))


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(
    ("padding", "convolution"),
    [
        (1, lambda layers: layers.Conv2D(7, 3, strides=2)),
        (1, lambda layers: layers.Conv2D(7, 3, padding="same")),
        (((0, 1), (0, 0)), lambda layers: layers.Conv2DTranspose(7, 2)),
    ],
)
def test_other_zeros_stay(library: Any, padding: Any, convolution: Callable[[Any], Any]) -> None:
    model = functional(library, library.layers.ZeroPadding2D(padding), convolution(library.layers))
    check(model)
    assert "Pad" in operations(lean(model))


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("shape", [(SIDE, SIDE, 6), (None, None, 6)])
def test_zeros_around_a_convolution_in_groups_stay(library: Any, shape: tuple[int | None, ...]) -> None:
    """Keras 2 computes it by a function of its own, which does not look at the padding once it was called."""
    layers = library.layers
    model = functional(library, layers.ZeroPadding2D(1), layers.Conv2D(4, 3, groups=2), shape=shape)
    check(model, numbers(2, SIDE, SIDE, 6))
    assert "Pad" in operations(lean(model), shape)


@pytest.mark.parametrize("library", LIBRARIES)
def test_what_is_joined_for_the_last_layer_is_not_copied(library: Any) -> None:
    layers = library.layers
    inputs = library.Input((SIDE, SIDE, 5))
    parts = [layers.Conv2D(count, 3, padding="same")(inputs) for count in (16, 20)]
    joined = layers.Concatenate()(parts)
    outputs = layers.Conv2DTranspose(3, 3, strides=2, padding="same", activation="softmax")(joined)
    model = filled(library.Model(inputs, outputs))
    check(model)
    assert "ConcatV2" not in operations(lean(model))
    assert "ConcatV2" in operations(lambda batch: model(batch, training=False))


def test_a_layer_of_another_type_of_numbers_keeps_its_call() -> None:
    model = functional(
        keras, keras.layers.Conv2D(5, 3, dtype="float64"), keras.layers.BatchNormalization(dtype="float64")
    )
    with LeanModel(model).tracing():
        assert not any("call" in vars(layer) for layer in model.layers)


def test_a_layer_of_ones_own_keeps_its_call() -> None:
    class Conv2D(keras.layers.Conv2D):  # type: ignore[misc]
        def call(self, inputs: Any) -> Any:
            return 2 * super().call(inputs)

    model = functional(keras, Conv2D(5, 3), keras.layers.BatchNormalization())
    check(model)
    assert operations(lean(model)) & NORMALIZING


def test_layers_of_ones_own_may_bear_any_name() -> None:
    class BatchNormalization(keras.layers.Layer):  # type: ignore[misc]
        def call(self, inputs: Any) -> Any:
            return 2 * inputs

    class Conv2D(BatchNormalization):
        pass

    check(functional(keras, Conv2D(), BatchNormalization()))


def test_nothing_changes_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    model = functional(keras, keras.layers.Conv2DTranspose(**FEW))
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [kind])
    with LeanModel(model).tracing():
        assert "call" not in vars(model.layers[-1])


def test_layers_are_themselves_again_after_an_error() -> None:
    def broken(values: Any) -> Any:
        raise ArithmeticError("broken")

    model = functional(keras, keras.layers.Conv2D(5, 3, activation="relu"))
    before = vars(model.layers[-1]).keys()
    model.layers[-1].activation = broken
    traced = LeanModel(model)
    with pytest.raises(ArithmeticError, match="broken"), traced.tracing():
        graph_of(lambda batch: model(batch, training=False))
    assert vars(model.layers[-1]).keys() == before
    assert vars(model.layers[-1])["use_bias"]
    assert vars(model.layers[-1])["activation"] is broken


def test_two_threads_may_trace_one_model() -> None:
    layers = [
        layer
        for _ in range(8)
        for layer in (keras.layers.Conv2D(5, 3, padding="same"), keras.layers.BatchNormalization())
    ]
    model = functional(keras, *layers)
    call, images = lean(model), numbers(2, SIDE, SIDE, 5)
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: tf.function(call, autograph=False)(images), range(8)))
    for outputs in found:
        np.testing.assert_allclose(outputs, model(images, training=False), atol=2e-5, rtol=2e-5)
    assert "call" not in vars(model.layers[1])


def test_layers_are_themselves_again_afterwards() -> None:
    model = functional(keras, keras.layers.Conv2D(5, 3, activation="relu"), keras.layers.BatchNormalization())
    before = [dict(vars(layer)) for layer in model.layers]
    with LeanModel(model).tracing():
        assert "call" in vars(model.layers[-1])
        graph_of(lambda batch: model(batch, training=False))
    assert [vars(layer).keys() for layer in model.layers] == [held.keys() for held in before]
    assert all(
        vars(layer)[name] is held
        for layer, names in zip(model.layers, before, strict=True)
        for name, held in names.items()
    )
