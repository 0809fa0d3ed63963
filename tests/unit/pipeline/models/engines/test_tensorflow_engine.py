from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from maskbeam.pipeline.models.engines import scoring
from maskbeam.pipeline.models.engines.batched_engine import CALL_PIXELS, pad
from maskbeam.pipeline.models.engines.choose_engine import start_engine
from maskbeam.pipeline.models.engines.scoring import make_scoring
from maskbeam.pipeline.models.engines.tensorflow_engine import KerasEngine
from maskbeam.pipeline.models.loading.cores import BYTES_PER_PIXEL, CALL_BYTES
from maskbeam.pipeline.models.loading.loaded_model import LoadedModel, TensorSpec, load, open_model
from maskbeam.pipeline.models.probing.fed_model import synthetic_planes
from maskbeam.pipeline.models.probing.probe import Probe, probe_model
from maskbeam.pipeline.options import ModelOptions
from maskbeam.transforms.argmax import argmax
from maskbeam.transforms.confidence import confidence
from maskbeam.transforms.elements import Array
from maskbeam.transforms.errors import RunError
from maskbeam.transforms.head import Head, canonical, make_head
from maskbeam.transforms.normalize import normalize
from maskbeam.transforms.predict import Scores
from tests.support.models import save, tutorial_unet
from tests.support.scored_model import FLOAT_KINDS, LOGITS, PLANES, RANDOM, C, H, N, W, answering, values_of


def scores(outputs: Array, head: Head, end: str, **how: Any) -> Scores:
    return KerasEngine(*answering(outputs, head), end=end, batch_size=4, **how)(PLANES)


@pytest.mark.parametrize("kind", FLOAT_KINDS)
def test_logits_end_gives_what_the_head_emits(kind: str) -> None:
    values = values_of(kind)
    found = scores(values, make_head(kind, "channels_last", values.shape[-1]), "logits")
    assert found.logits.dtype == np.float32
    np.testing.assert_array_equal(found.logits, values)
    np.testing.assert_array_equal(found.nonfinite, np.isnan(values).any(axis=-1).sum(axis=(1, 2)))


@pytest.mark.parametrize("end", ["logits", "labels"])
@pytest.mark.parametrize("kind", FLOAT_KINDS)
def test_confidence_is_that_of_the_transforms(kind: str, end: str) -> None:
    values = values_of(kind)
    head = make_head(kind, "channels_last", values.shape[-1])
    if head.is_multilabel and end == "labels":
        with pytest.raises(ValueError, match="no argmax"):
            scores(values, head, end)
        return
    found = scores(values, head, end)
    planes = confidence(np.moveaxis(values, -1, 0), kind=kind).astype(float)
    of_pixels = planes.mean(axis=0) if head.is_multilabel else planes
    of_pixels[np.isnan(values).any(axis=-1)] = 0
    assert found.confidence.dtype == np.int64
    # One unit for each pixel where the two ways to compute an exponential round apart.
    np.testing.assert_allclose(found.confidence, of_pixels.sum(axis=(1, 2)), atol=H * W)


@pytest.mark.parametrize("kind", ["logits", "probabilities"])
def test_labels_end_is_the_argmax_of_the_transforms(kind: str) -> None:
    values = values_of(kind)
    found = scores(values, make_head(kind, "channels_last", C), "labels")
    expected, nan = argmax(values)
    assert found.logits.dtype == np.uint8
    np.testing.assert_array_equal(found.logits, expected)
    np.testing.assert_array_equal(found.nonfinite, nan.sum(axis=(1, 2)))


@pytest.mark.parametrize("threshold", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("kind", ["sigmoid", "sigmoid_logits"])
def test_threshold_is_a_probability(kind: str, threshold: float) -> None:
    found = scores(values_of(kind), make_head(kind, "channels_last", 1), "labels", threshold=threshold)
    np.testing.assert_array_equal(found.logits, values_of("sigmoid")[..., 0] > threshold)


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.float32])
@pytest.mark.parametrize("end", ["logits", "labels"])
def test_ids_pass_through(dtype: type, end: str) -> None:
    ids: Array = RANDOM.integers(0, 200, (N, H, W)).astype(dtype)
    found = scores(ids[..., None], make_head("ids", "channels_last", 1), end)
    assert found.logits.dtype == np.int32
    np.testing.assert_array_equal(found.logits, ids)
    np.testing.assert_array_equal([found.confidence, found.nonfinite], np.zeros((2, N)))


def test_nan_ids_are_counted() -> None:
    ids = np.full((N, H, W), 7, np.float32)
    ids[1, 2, 3:5] = np.nan
    np.testing.assert_array_equal(scores(ids, make_head("ids", "channels_last", 1), "labels").nonfinite, [0, 2, 0])


@pytest.mark.parametrize("kind", FLOAT_KINDS)
def test_few_channels_and_many_are_scored_alike(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    values = values_of(kind)
    loaded, probe = answering(values, make_head(kind, "channels_last", values.shape[-1]))
    end = "logits" if probe.head.is_multilabel else "labels"
    few = make_scoring(loaded, probe, end=end)(tf.constant(PLANES))
    monkeypatch.setattr(scoring, "FEW", 0)
    many = make_scoring(loaded, probe, end=end)(tf.constant(PLANES))
    np.testing.assert_array_equal(few[0], many[0])
    # The order of a sum may move the last bit, and with it the rounding of a pixel.
    np.testing.assert_allclose(few[1], many[1], atol=W)
    np.testing.assert_array_equal(few[2], many[2])


def test_more_than_256_classes_are_uint16() -> None:
    values = RANDOM.normal(size=(N, H, W, 300)).astype(np.float32)
    found = scores(values, make_head("logits", "channels_last", 300), "labels")
    assert found.logits.dtype == np.uint16
    np.testing.assert_array_equal(found.logits, values.argmax(axis=-1))


@pytest.mark.parametrize(
    ("layout", "outputs", "grid"),
    [
        ("channels_first", np.moveaxis(LOGITS, 3, 1), None),
        ("flat", LOGITS.reshape(N, H * W, C), (H, W)),
        ("flat", LOGITS.reshape(N, H * W, C), None),
    ],
)
def test_layouts_become_channels_last_in_the_graph(layout: str, outputs: Array, grid: tuple[int, int] | None) -> None:
    head = make_head("logits", layout, C, grid=grid)
    size = (H, W) if grid else (None, None)
    found = KerasEngine(*answering(outputs, head, size=size), end="logits", batch_size=4)(PLANES)
    np.testing.assert_array_equal(found.logits, LOGITS)


@pytest.fixture(scope="module")
def small_model() -> LoadedModel:
    """A free-size network of stride 4 with something of everything: convolutions, normalisation, a skip."""
    keras.utils.set_random_seed(0)
    image = keras.Input((None, None, 3))
    skip = keras.layers.Conv2D(8, 3, padding="same", activation="relu")(image)
    deep = keras.layers.Conv2D(16, 3, strides=4, padding="same", activation="relu")(skip)
    deep = keras.layers.BatchNormalization()(deep)
    joined = keras.layers.Concatenate()([skip, keras.layers.UpSampling2D(4)(deep)])
    model = keras.Model(image, keras.layers.Conv2D(5, 1)(joined))
    return LoadedModel(
        lambda batch: (model(batch, training=False),),
        "keras",
        (TensorSpec("image", (None, None, None, 3), "float32"),),
        (TensorSpec("scores", (None, None, None, 5), "float32"),),
        activations=("linear",),
        model=model,
    )


@pytest.fixture(scope="module")
def small_probe(small_model: LoadedModel) -> Probe:
    return probe_model(small_model, ModelOptions(normalize="imagenet", channel_order="bgr"))


def test_a_network_gives_what_keras_gives(small_model: LoadedModel, small_probe: Probe) -> None:
    assert (small_probe.spec.stride, small_probe.head.kind) == (4, "logits")
    planes = synthetic_planes(3, 32, 48, 3)
    found = KerasEngine(small_model, small_probe, end="logits", batch_size=2)(planes)
    scaled = normalize(planes, small_probe.normalization, "bgr")
    expected = canonical(small_model.model.predict(scaled, verbose=0), small_probe.head)
    np.testing.assert_allclose(found.logits, expected, rtol=1e-4, atol=1e-5)


def test_bytes_and_floats_of_one_plane_give_the_same(small_model: LoadedModel, small_probe: Probe) -> None:
    planes = np.rint(synthetic_planes(2, 16, 16, 3))
    engine = KerasEngine(small_model, small_probe, end="labels", batch_size=2)
    for mine, other in zip(engine(planes), engine(planes.astype(np.uint8)), strict=True):
        np.testing.assert_array_equal(mine, other)


def test_calls_side_by_side_compile_once(
    small_model: LoadedModel, small_probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[str] = []
    compile_one = KerasEngine._compile

    def counted(engine: KerasEngine, dtype: str, signature: tuple[int | None, ...]) -> Any:
        compiled.append(dtype)
        return compile_one(engine, dtype, signature)

    monkeypatch.setattr(KerasEngine, "_compile", counted)
    engine = KerasEngine(small_model, small_probe, end="labels", batch_size=2)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(engine, [synthetic_planes(2, 16, 16, 3)] * 4))
    assert compiled == ["float32"]


@pytest.mark.parametrize(("resize", "dtype"), [("tile", "uint8"), ("native", "uint8"), ("stretch", "float32")])
def test_it_is_warmed_up_with_planes_of_the_type_that_will_come(
    small_model: LoadedModel, small_probe: Probe, resize: str, dtype: str
) -> None:
    probe = replace(small_probe, spec=replace(small_probe.spec, resize=resize))
    engine, _ = start_engine(lambda: small_model, probe, end="labels")
    assert isinstance(engine, KerasEngine)
    assert {name for name, _ in engine._compiled} == {dtype}


@pytest.mark.parametrize("batch_size", [1, 2, 3, 8])
def test_any_batch_size_gives_the_same(small_model: LoadedModel, small_probe: Probe, batch_size: int) -> None:
    planes = synthetic_planes(7, 16, 24, 3)
    whole = KerasEngine(small_model, small_probe, end="labels", batch_size=7)(planes)
    split = KerasEngine(small_model, small_probe, end="labels", batch_size=batch_size)(planes)
    for mine, other in zip(whole, split, strict=True):
        np.testing.assert_array_equal(mine, other)


def test_planes_of_any_size_of_a_free_model(small_model: LoadedModel, small_probe: Probe) -> None:
    engine = KerasEngine(small_model, small_probe, end="labels", batch_size=4)
    for height, width in ((4, 4), (16, 8), (8, 40)):
        assert engine(synthetic_planes(2, height, width, 3)).logits.shape == (2, height, width)


def test_the_other_images_of_a_batch_do_not_matter(small_model: LoadedModel, small_probe: Probe) -> None:
    planes = synthetic_planes(4, 16, 16, 3)
    engine = KerasEngine(small_model, small_probe, end="logits", batch_size=4)
    poisoned = planes.copy()
    poisoned[2, 3, 3] = 1e30
    clean, dirty = engine(planes), engine(poisoned)
    assert (clean.logits[2] != dirty.logits[2]).any()
    for i in (0, 1, 3):
        np.testing.assert_array_equal(clean.logits[i], dirty.logits[i])


@pytest.mark.parametrize(("count", "padded"), [(1, 1), (2, 2), (3, 4), (5, 8), (8, 8)])
def test_short_batches_are_padded_to_a_power_of_two(count: int, padded: int) -> None:
    planes = synthetic_planes(count, 4, 4, 1)
    assert len(pad(planes)) == padded
    np.testing.assert_array_equal(pad(planes)[:count], planes)


def test_a_model_exported_for_one_batch_size_always_gets_it(small_model: LoadedModel, small_probe: Probe) -> None:
    spec = TensorSpec("image", (4, None, None, 3), "float32")
    only = replace(small_model, inputs=(spec,))
    engine, probe = start_engine(lambda: only, small_probe, end="labels")
    assert engine.batch_size == probe.batch_size == 4
    planes = synthetic_planes(6, 16, 16, 3)
    free = KerasEngine(small_model, small_probe, end="labels", batch_size=8)
    for mine, other in zip(engine(planes), free(planes), strict=True):
        np.testing.assert_array_equal(mine, other)


def test_few_shapes_reach_the_model_and_large_planes_go_alone(small_model: LoadedModel, small_probe: Probe) -> None:
    seen: list[int] = []

    def call(batch: tf.Tensor) -> tuple[tf.Tensor, ...]:
        tf.numpy_function(lambda b: seen.append(len(b)), [batch], [])
        return (tf.zeros_like(tf.repeat(batch[..., :1], 5, axis=3)),)

    side = 1024
    engine = KerasEngine(replace(small_model, call=call), small_probe, end="labels", batch_size=8)
    fitting = max(1, CALL_BYTES // engine.callers // (side * side * (BYTES_PER_PIXEL + 16 * 5)))
    engine(np.zeros((5, 8, 8, 3), np.uint8))
    engine(np.zeros((fitting + 1, side, side, 3), np.uint8))
    assert seen == [8, fitting, 1]


def test_out_of_memory_is_a_memory_error(small_model: LoadedModel, small_probe: Probe) -> None:
    def fail(_: Array) -> None:
        raise MemoryError  # which TensorFlow hands on as its ResourceExhaustedError

    def call(batch: tf.Tensor) -> tuple[tf.Tensor, ...]:
        with tf.control_dependencies([tf.numpy_function(fail, [batch], [])]):
            return (tf.repeat(batch[..., :1], 5, axis=3),)

    full = replace(small_model, call=call)
    with pytest.raises(MemoryError, match="no room for 1 planes"):
        KerasEngine(full, small_probe, end="labels", batch_size=1)(synthetic_planes(1, 8, 8, 3))
    with pytest.raises(RunError, match="does not fit into this machine's memory"):
        start_engine(lambda: full, small_probe, end="labels")


def test_the_first_batch_size_is_kept(small_model: LoadedModel, small_probe: Probe) -> None:
    engine, probe = start_engine(lambda: small_model, small_probe, end="labels")
    assert engine.batch_size == probe.batch_size == 8
    again, same = start_engine(lambda: small_model, replace(probe, batch_size=5), end="labels")
    assert again.batch_size == same.batch_size == 5


@pytest.mark.parametrize("side", [96, 128, 500, 512, 1024])
def test_a_batch_holds_about_as_many_pixels_whatever_their_size(
    small_model: LoadedModel, small_probe: Probe, side: int
) -> None:
    engine = KerasEngine(small_model, replace(small_probe, plane_size=(side, side)), end="labels")
    assert (
        engine.batch_size == 1 or engine.batch_size * side * side <= CALL_PIXELS < 2 * engine.batch_size * side * side
    )
    assert engine.batch_size.bit_count() == 1


def test_a_mask_does_not_depend_on_the_batch_it_comes_in(tmp_path: Path) -> None:
    # Depthwise and 1 x 1 convolutions, where a batch of one takes another way through oneDNN.
    model = open_model(
        ModelOptions(path=str(save(tutorial_unet(keras, size=64), tmp_path / "m.keras")), normalize="0..1")
    )
    options = ModelOptions(path=model.uri, normalize="0..1")
    loaded = load(model, options)
    engine = KerasEngine(loaded, probe_model(loaded, options), end="logits", batch_size=8)
    planes = synthetic_planes(9, 64, 64, 3)
    whole = engine(planes).logits
    for size in (1, 2, 3, 5):
        parts = np.concatenate([engine(planes[i : i + size]).logits for i in range(0, len(planes), size)])
        np.testing.assert_array_equal(parts.argmax(-1), whole.argmax(-1))
        # On some processors a few sums are rounded otherwise: by the last two bits.
        np.testing.assert_allclose(parts, whole, rtol=0, atol=4 * np.abs(whole).max() * np.finfo(np.float32).eps)


def test_mixed_precision_is_switched_on_for_the_graph(
    small_model: LoadedModel, small_probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, bool]] = []
    monkeypatch.setattr(tf.config.optimizer, "set_experimental_options", asked.append)
    for mixed in (False, True):
        start_engine(lambda: small_model, small_probe, end="labels", mixed_precision=mixed)
    assert asked == [{"auto_mixed_precision": True}]
