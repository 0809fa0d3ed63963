"""What a model's first layers make of 0..255, held against what the layers themselves compute."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from maskbeam.pipeline.models.files.input_scaling import (
    Scaling,
    find_scaling,
    fits,
    is_for_pixels,
    likely_normalization,
)
from maskbeam.pipeline.models.files.model_facts import ModelFacts, TensorSpec, model_facts
from maskbeam.pipeline.models.files.model_graph import Layer
from maskbeam.pipeline.models.loading.loaded_model import LoadedModel, load, open_model
from maskbeam.pipeline.models.probing.find_input import find_normalization, scales_itself, twice_scaled
from maskbeam.pipeline.options import ModelOptions
from maskbeam.transforms.errors import RunError
from maskbeam.transforms.normalize import normalize, parse_normalization

MEAN, VARIANCE = [0.485, 0.456, 0.406], [0.052, 0.05, 0.051]


def adapted(K: Any, axis: int | None = -1) -> Any:
    """A layer that has learnt 0..1 by heart, in its weights and not in its configuration."""
    layer = K.layers.Normalization(axis)
    layer.adapt(np.random.default_rng(0).uniform(0, 1, (2, 4, 4, 3)).astype(np.float32))
    return layer


CHAINS: dict[str, tuple[Any, Callable[[Any, Any], Any]]] = {
    "rescaling": (keras, lambda K, x: K.layers.Rescaling(2.0, -1.0)(x)),
    "normalization": (keras, lambda K, x: K.layers.Normalization(mean=MEAN, variance=VARIANCE)(x)),
    "adapted": (keras, lambda K, x: adapted(K)(x)),
    "two layers": (
        keras,
        lambda K, x: K.layers.Normalization(mean=0.5, variance=0.1)(K.layers.Rescaling(1 / 255)(x)),
    ),
    "operators": (keras, lambda _, x: 1 - (x - np.array([1.0, 2.0, 3.0])) / 127.5),
    "reversed": (keras, lambda _, x: 2.0 * x[..., ::-1] + 1),
    "Keras 2": (tf_keras, lambda _, x: tf.nn.bias_add((x - np.array([1.0, 2.0, 3.0])) / 0.5, [1.0, 1.0, 1.0])),
    "Keras 2 adapted": (tf_keras, lambda K, x: adapted(K)(x)),
}


@pytest.mark.parametrize("extension", [".keras", ""])
@pytest.mark.parametrize("name", CHAINS)
def test_the_span_is_what_the_layers_make(name: str, extension: str, tmp_path: Path) -> None:
    K, prepare = CHAINS[name]
    image = K.Input((4, 4, 3))
    prepared = prepare(K, image)
    model = K.Model(image, K.layers.Conv2D(2, 1)(prepared))
    path = tmp_path / f"m{extension}"
    model.save(path) if extension else model.export(str(path))
    options = ModelOptions(path=str(path))
    loaded = load(open_model(options), options)
    ends = np.array([0, 255], np.float32).reshape(2, 1, 1, 1).repeat(4, 1).repeat(4, 2).repeat(3, 3)
    made = np.asarray(K.Model(image, prepared)(ends))
    assert loaded.scaling is not None
    np.testing.assert_allclose(loaded.scaling.span(), (made.min(), made.max()), rtol=1e-4)


def layer(name: str, before: str, operation: str, arguments: dict[str, Any] | None = None, **config: Any) -> Layer:
    return Layer(name, operation, config, (before,), arguments or {})


@pytest.mark.parametrize(
    "chain",
    [
        [layer("a", "image", "Multiply", {"1": 2.0}), layer("b", "image", "Add", {"1": 1.0})],  # beside each other
        [layer("a", "image", "Divide", {"0": 2.0})],
        [layer("a", "image", "Multiply", {"0": "x"})],
        [layer("a", "image", "Divide", {"1": 0.0})],
        [layer("a", "image", "Rescaling")],
        [layer("a", "image", "Normalization", mean=None, variance=None)],
        [layer("a", "image", "Normalization", mean=1.0, variance=1.0, invert=True)],
    ],
)
def test_what_cannot_be_computed_is_not_known(chain: list[Layer]) -> None:
    assert find_scaling(chain) is None


@pytest.mark.parametrize(
    ("slope", "offset", "likely"),
    [
        ((1 / 255,), (0.0,), None),
        ((1 / 127.5,), (-1.0,), None),
        ((1.0,), (0.0,), None),
        ((1 / 58.4, 1 / 57.1, 1 / 57.4), (-2.12, -2.04, -1.8), None),
        ((1.0, 1.0, 1.0), (-103.9, -116.8, -123.7), None),
        ((-1.0,), (255.0,), None),
        ((1 / 5,), (-0.4,), None),  # standardised on dark images
        ((2.0,), (-1.0,), "0..1"),
        ((1.0,), (-0.5,), "0..1"),  # offsets of values of 0..1 or -1..1
        ((1.0, 1.0, 1.0), (-0.485, -0.456, -0.406), "0..1"),
        ((-1.0,), (1.0,), "0..1"),
        ((0.5,), (0.5,), "0..1"),
        ((4.39, 4.47, 4.43), (-2.13, -2.04, -1.8), "0..1"),
        ((1 / 65535,), (0.0,), "0/0.003891051"),
        ((1 / 4095,), (0.0,), "0/0.062271062"),
        ((1e9,), (0.0,), None),
    ],
)
def test_usual_ranges_fit_and_others_say_what_would(
    slope: tuple[float, ...], offset: tuple[float, ...], likely: str | None
) -> None:
    scaling = Scaling(slope, offset)
    usual = likely is None and slope[0] < 1e6
    assert fits(scaling.span()) is usual
    if not usual:
        assert likely_normalization(scaling) == likely


def facts(dtype: str = "float32", **config: Any) -> ModelFacts:
    """Of a model that rescales its input as `config` says, or does nothing with it."""
    layers = [
        {"class_name": "InputLayer", "config": {"name": "image", "batch_shape": [None, 8, 8, 3], "dtype": dtype}},
        *([{"class_name": "Rescaling", "config": {"name": "scale", **config}}] if config else []),
        {"class_name": "Conv2D", "config": {"name": "conv"}},
    ]
    return model_facts({"class_name": "Sequential", "config": {"name": "m", "layers": layers}})


def test_a_model_that_was_not_trained_on_bytes_is_refused_with_what_helps() -> None:
    with pytest.raises(RunError) as caught:
        find_normalization(facts(scale=2.0, offset=-1.0), ModelOptions())
    assert "Rescaling(scale=2, offset=-1), makes -1..509 of pixels of 0..255" in str(caught.value)
    assert "--normalize 0..1 would make -1..1, and --normalize none leaves all as it is" in str(caught.value)
    for advised in ("0..1", "none"):
        normalization, evidence = find_normalization(facts(scale=2.0, offset=-1.0), ModelOptions(normalize=advised))
        assert normalization == parse_normalization(advised)
        assert "together they make" in evidence


def undone(K: Any, x: Any) -> Any:
    """A learnt Normalization, and a Rescaling that takes it back."""
    learnt = adapted(K, axis=None)
    mean, variance = (float(np.asarray(values).item()) for values in (learnt.mean, learnt.variance))
    return K.layers.Rescaling(variance**0.5, mean)(learnt(x))


NOTHING: dict[str, tuple[Any, Callable[[Any, Any], Any]]] = {
    "there and back": (keras, lambda K, x: (K.layers.Rescaling(2.0, -1.0)(x) + 1) / 2),
    "learnt and undone": (keras, undone),
    "Keras 2, learnt and undone": (tf_keras, undone),
    "identity": (tf_keras, lambda K, x: K.layers.Rescaling(1.0)(x)),
    "sign": (keras, lambda _, x: -1.0 * x),
}


@pytest.mark.parametrize("name", NOTHING)
def test_a_chain_that_leaves_pixels_as_they_are_tells_nothing(name: str, tmp_path: Path) -> None:
    K, prepare = NOTHING[name]
    image = K.Input((4, 4, 3))
    prepared = prepare(K, image)
    K.Model(image, K.layers.Conv2D(2, 1)(prepared)).save(tmp_path / "m.keras")
    made = np.abs(np.asarray(K.Model(image, prepared)(np.full((1, 4, 4, 3), 100, np.float32))))
    np.testing.assert_allclose(made, 100, rtol=1e-4)
    options = ModelOptions(path=str(tmp_path / "m.keras"))
    loaded = load(open_model(options), options)
    assert not scales_itself(loaded)
    with pytest.raises(RunError, match=r"leaves pixels about as they are .*\), so say what it was trained with"):
        find_normalization(loaded, options)
    assert twice_scaled(loaded.scaling, parse_normalization("0..1")) is None


@pytest.mark.parametrize(
    ("slope", "offset", "shown"),
    [
        (1 / 255, 0, True), (1 / 127.5, -1, True), (1, -123.7, True), (-1, 255, True), (1 / 58, -2.1, True),
        (1, 0, False), (0.5, 0, False), (1.1, 0, False), (-1, 0, False), (2, -1, False), (4.4, -2, False),
    ],
)  # fmt: skip
def test_a_scaling_shows_bytes_where_values_of_a_unit_would_not_do(slope: float, offset: float, shown: bool) -> None:
    assert is_for_pixels(Scaling((slope,), (offset,))) is shown


@pytest.mark.parametrize(("dtype", "taken"), [("uint8", True), ("uint16", False), ("float32", False)])
def test_a_scaling_that_tells_nothing_leaves_it_to_the_type(dtype: str, taken: bool) -> None:
    assert scales_itself(facts(dtype, scale=1.0, offset=0.0)) is taken


def test_padding_before_a_scaling_hides_it_not() -> None:
    layers: list[dict[str, Any]] = [
        {"class_name": "InputLayer", "config": {"name": "image", "batch_shape": [None, 8, 8, 3]}},
        {"class_name": "ZeroPadding2D", "config": {"name": "pad"}},
        {"class_name": "Rescaling", "config": {"name": "scale", "scale": 1 / 255}},
        {"class_name": "Conv2D", "config": {"name": "conv"}},
    ]
    padded = model_facts({"class_name": "Sequential", "config": {"name": "m", "layers": layers}})
    assert padded.scaling == Scaling((1 / 255,))
    assert scales_itself(padded)


def test_a_model_trained_on_bytes_says_what_it_makes_of_them() -> None:
    _, evidence = find_normalization(facts(scale=1 / 127.5, offset=-1.0), ModelOptions())
    assert evidence.endswith("Rescaling(scale=0.00784314, offset=-1), which makes -1..1 of 0..255")


@pytest.mark.parametrize(
    ("dtype", "values", "wanted"),
    [
        ("uint16", "0/0.0038910506", (0, 65535)),
        ("int16", "0/0.0077822199", (0, 32767)),
        ("int8", "128/1", (-128, 127)),
    ],
)
def test_whole_numbers_of_another_range_are_asked_about(dtype: str, values: str, wanted: tuple[int, int]) -> None:
    assert not scales_itself(facts(dtype))
    with pytest.raises(RunError, match=f"takes {dtype}, .* --normalize {values} if on"):
        find_normalization(facts(dtype), ModelOptions())
    ends = np.asarray(normalize(np.array([[0.0], [255.0]], np.float32), parse_normalization(values)))
    np.testing.assert_allclose(ends.ravel(), wanted, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64"])
def test_whole_numbers_that_hold_bytes_go_in_as_they_are(dtype: str) -> None:
    assert find_normalization(facts(dtype), ModelOptions())[0] == parse_normalization("none")


def test_pixels_that_are_scaled_twice_are_warned_of() -> None:
    unit, own = parse_normalization("0..1"), Scaling((1 / 127.5,), (-1.0,))
    assert "makes -1..1 of 0..255, and -1..-0.9922 of what --normalize gives it" in (twice_scaled(own, unit) or "")
    assert twice_scaled(own, parse_normalization("none")) is None
    assert twice_scaled(Scaling((2.0,), (-1.0,)), unit) is None
    assert twice_scaled(None, unit) is None


def test_a_scaling_that_is_not_known_is_taken_as_it_was() -> None:
    model = LoadedModel(
        call=lambda batch: (batch,),
        framework="keras",
        inputs=(TensorSpec("image", (None, 8, 8, 3), "float32"),),
        outputs=(),
        preprocessing=("Normalization()",),
        scales_input=True,
    )
    assert find_normalization(model, ModelOptions())[1] == "scaling none: the model has its own, Normalization()"
