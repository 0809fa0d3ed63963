import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any, NoReturn

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from maskbeam.pipeline.models.loading import loaded_model as keras_model
from maskbeam.pipeline.models.loading.keras_loader import _outputs
from maskbeam.pipeline.models.loading.loaded_model import LoadedModel, TensorSpec, load, open_model, told_apart
from maskbeam.pipeline.models.loading.tensorflow_start import check_devices
from maskbeam.pipeline.options import ModelOptions
from maskbeam.transforms.errors import RunError
from tests.support.custom_layers import Double, Halve, Segmenter
from tests.support.models import HEADS, save, sequential, tf_scaling, tutorial_unet, two_outputs, unet

EXTENSIONS = (".keras", ".h5", "")
SCALED = {
    "keras": ("Rescaling(scale=0.00784314, offset=-1)",),
    "tf_keras": ("tf.cast(dtype=float32)", "tf.math.truediv(y=127.5)", "tf.math.subtract(y=1)"),
}
BOTH = pytest.mark.parametrize("K", [keras, tf_keras], ids=lambda K: str(K.__name__))


def loaded_from(path: Path, **options: Any) -> LoadedModel:
    chosen = ModelOptions(path=str(path), **options)
    return load(open_model(chosen), chosen)


def batch(size: int = 32, channels: int = 3, count: int = 2) -> Any:
    return np.random.default_rng(0).uniform(0, 255, (count, size, size, channels)).astype(np.float32)


def assert_same_as_before_saving(model: Any, loaded: LoadedModel, images: Any) -> None:
    expected = tf.nest.flatten(model(images, training=False))
    got = loaded.call(tf.constant(images))
    assert len(got) == len(expected) == len(loaded.outputs)
    for one, other, spec in zip(got, expected, loaded.outputs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
        assert spec.shape[1:] in (tuple(one.shape[1:]), (None,) * (len(one.shape) - 1))
        assert spec.dtype == one.dtype.name


@BOTH
def test_the_tutorials_unet_gives_after_loading_what_it_gave_before_saving(K: Any, tmp_path: Path) -> None:
    model = tutorial_unet(K, prepare=tf_scaling if K is tf_keras else K.layers.Rescaling(1 / 127.5, offset=-1))
    for extension in (".keras", ".h5"):
        loaded = loaded_from(save(model, tmp_path / f"m{extension}"))
        assert loaded.framework == K.__name__
        assert loaded.inputs == (TensorSpec("image", (None, 32, 32, 3), "float32"),)
        assert_same_as_before_saving(model, loaded, batch())
        assert loaded.preprocessing == SCALED[K.__name__]
        assert (loaded.activations, loaded.data_format) == (("linear",), "channels_last")


@BOTH
def test_saved_model_folders_give_after_loading_what_the_model_gave(K: Any, tmp_path: Path) -> None:
    model = unet(K, prepare=tf_scaling if K is tf_keras else K.layers.Rescaling(1 / 127.5, offset=-1), head="softmax")
    loaded = loaded_from(save(model, tmp_path / "m"))
    assert loaded.framework == "saved_model"
    assert loaded.inputs[0].shape == (None, 32, 32, 3)
    assert_same_as_before_saving(model, loaded, batch())
    assert (loaded.scales_input, loaded.activations) == (True, ("softmax",))
    if K is tf_keras:  # Keras 2 leaves a description of its layers in the folder, Keras 3 only operations.
        assert loaded.preprocessing == SCALED["tf_keras"]


@pytest.mark.parametrize(
    ("head", "end"), [("logits", "linear"), ("sigmoid", "sigmoid"), ("ids", "argmax"), ("flat", "linear")]
)
def test_exported_graphs_tell_what_they_end_in_and_that_they_do_not_scale(
    head: str, end: str, tmp_path: Path
) -> None:
    loaded = loaded_from(save(unet(keras, head=head), tmp_path / "m"))
    assert (loaded.preprocessing, loaded.scales_input, loaded.activations) == ((), False, (end,))


@BOTH
def test_exported_graphs_tell_the_ends_of_each_output(K: Any, tmp_path: Path) -> None:
    loaded = loaded_from(save(two_outputs(K), tmp_path / "m"))
    ends = {spec.shape[1]: end for spec, end in zip(loaded.outputs, loaded.activations, strict=True)}
    assert ends == {16: "softmax", 32: "linear"}


@BOTH
@pytest.mark.parametrize("head", HEADS)
def test_every_head_loads_and_tells_its_last_function(K: Any, head: str, tmp_path: Path) -> None:
    model = unet(K, head=head)
    loaded = loaded_from(save(model, tmp_path / "m.keras"))
    images = batch()
    assert_same_as_before_saving(model, loaded, images.transpose(0, 3, 1, 2) if head == "channels_first" else images)
    ends = {
        "softmax": "softmax",
        "sigmoid": "sigmoid",
        "multilabel": "sigmoid",
        "ids": "argmax",
        "no_channel": "sigmoid",
    }
    assert loaded.activations == (ends.get(head, "linear"),)
    assert (loaded.preprocessing, loaded.scales_input) == ((), False)


@BOTH
def test_sequential_models_with_a_softmax_layer(K: Any, tmp_path: Path) -> None:
    model = sequential(K)
    loaded = loaded_from(save(model, tmp_path / "m.keras"))
    assert_same_as_before_saving(model, loaded, batch())
    assert loaded.preprocessing == ("Rescaling(scale=0.00392157, offset=0)",)
    assert (loaded.scales_input, loaded.activations) == (True, ("softmax",))


@BOTH
@pytest.mark.parametrize("extension", EXTENSIONS)
def test_outputs_keep_the_names_and_the_order_that_calling_gives(K: Any, extension: str, tmp_path: Path) -> None:
    model = two_outputs(K)
    loaded = loaded_from(save(model, tmp_path / f"m{extension}"))
    by_name = dict(zip([spec.name for spec in loaded.outputs], loaded.call(tf.constant(batch())), strict=True))
    expected = model(batch(), training=False)
    assert len(by_name) == 2
    for name, values in by_name.items():
        coarse = values.shape[1] == 16
        np.testing.assert_allclose(values, expected["coarse_map" if coarse else "fine_map"], rtol=1e-5, atol=1e-5)
        if extension == ".keras" or K is keras:
            assert name == ("coarse_map" if coarse else "fine_map")


@BOTH
def test_batches_of_any_real_dtype_are_cast_to_what_the_model_takes(K: Any, tmp_path: Path) -> None:
    loaded = loaded_from(save(unet(K), tmp_path / "m.keras"))
    whole = np.round(batch()).astype(np.uint8)
    for dtype in (np.uint8, np.float64, np.int32):
        np.testing.assert_array_equal(loaded.call(whole.astype(dtype))[0], loaded.call(whole.astype(np.float32))[0])


@BOTH
def test_free_sizes_and_other_channel_counts(K: Any, tmp_path: Path) -> None:
    loaded = loaded_from(save(unet(K, size=None, channels=5), tmp_path / "m.keras"))
    assert loaded.inputs[0].shape == (None, None, None, 5)
    assert loaded.call(batch(48, channels=5))[0].shape == (2, 48, 48, 3)


@BOTH
def test_loaded_models_can_be_traced_and_do_not_train(K: Any, tmp_path: Path) -> None:
    """Batch normalisation and dropout behave as in prediction, in a graph too."""
    image = K.layers.Input((8, 8, 3))
    x = K.layers.Dropout(0.9)(K.layers.BatchNormalization()(image))
    loaded = loaded_from(save(K.Model(image, K.layers.Conv2D(2, 1)(x)), tmp_path / "m.keras"))
    traced = tf.function(loaded.call)
    np.testing.assert_allclose(traced(tf.constant(batch(8)))[0], loaded.call(batch(8))[0], rtol=1e-4, atol=1e-3)
    np.testing.assert_array_equal(traced(tf.constant(batch(8)))[0], traced(tf.constant(batch(8)))[0])


def test_the_kind_is_told_from_content_and_not_from_the_name(tmp_path: Path) -> None:
    for name, K in (("m.keras", keras), ("m.h5", tf_keras)):
        model = unet(K)
        wrong = save(model, tmp_path / name).rename(tmp_path / f"{name}.model")
        assert_same_as_before_saving(model, loaded_from(wrong), batch())


def test_preprocessing_is_named_only_where_it_is_reached_straight_from_the_input(tmp_path: Path) -> None:
    layers = keras.layers
    image = layers.Input((8, 8, 3))
    normalization = layers.Normalization(mean=[1.0, 2.0, 3.0], variance=[4.0, 5.0, 6.0])
    chain = layers.RandomFlip()(layers.Resizing(16, 16)(normalization(image)))
    inside = keras.Model(image, layers.Conv2D(2, 1)(chain))
    loaded = loaded_from(save(inside, tmp_path / "inside.keras"))
    assert loaded.preprocessing == (
        "Normalization(mean=[1, 2, 3], variance=[4, 5, 6], axis=[-1])",
        "Resizing(height=16, width=16)",
    )

    late = keras.Model(image, layers.Rescaling(2.0)(layers.Conv2D(2, 1)(image)))
    bypass = keras.Model(image, layers.Concatenate()([image, layers.Rescaling(2.0)(image)]))
    size_only = keras.Model(image, layers.Conv2D(2, 1)(layers.Resizing(16, 16)(image)))
    for name, model in (("late", late), ("bypass", bypass), ("size_only", size_only)):
        assert not loaded_from(save(model, tmp_path / f"{name}.keras")).scales_input, name


def test_scaling_by_operations_of_keras_3_and_inside_a_nested_model(tmp_path: Path) -> None:
    image = keras.layers.Input((32, 32, 3))
    loaded = loaded_from(save(keras.Model(image, unet(keras)(image / 127.5 - 1)), tmp_path / "operators.keras"))
    assert loaded.scales_input
    assert [text.partition("(")[0] for text in loaded.preprocessing] == ["TrueDivide", "Subtract"]
    assert "127.5" in loaded.preprocessing[0]

    inner = unet(keras, prepare=keras.layers.Rescaling(1 / 255))
    loaded = loaded_from(save(keras.Model(image, inner(image)), tmp_path / "nested.keras"))
    assert loaded.preprocessing == ("Rescaling(scale=0.00392157, offset=0)",)
    assert loaded.activations == ("linear",)


def test_two_outputs_tell_their_functions_in_the_order_of_the_outputs(tmp_path: Path) -> None:
    loaded = loaded_from(save(two_outputs(keras), tmp_path / "m.keras"))
    ends = dict(zip([spec.name for spec in loaded.outputs], loaded.activations, strict=True))
    assert ends == {"coarse_map": "softmax", "fine_map": "linear"}


def test_outputs_of_one_name_are_told_apart() -> None:
    """A layer that gives two tensors gives its name to both."""
    specs = tuple(TensorSpec(name, (None,), "float32") for name in ("two", "b", "two", "two:1", "two"))
    assert [spec.name for spec in told_apart(specs)] == ["two", "b", "two:1", "two:1:1", "two:2"]


@pytest.mark.parametrize("size", [32, None])
def test_a_subclassed_models_outputs_are_named_by_its_keys(size: int | None) -> None:
    def forward(image: Any) -> Any:
        # Not to be traced for sizes that are not known yet, as is much of what people write.
        height, width = (2 * side for side in image.shape[1:3])
        return {"main": tf.image.resize(image, (height, width)), "aux": image[..., :1]}

    outputs = _outputs(object(), forward, TensorSpec("image", (None, size, size, 3), "float32"))
    assert [(spec.name, spec.shape[3]) for spec in outputs] == [("aux", 1), ("main", 3)]


# The user's own classes


def own_model() -> Any:
    image = keras.layers.Input((8, 8, 3))
    return keras.Model(image, Halve()(Double()(keras.layers.Conv2D(2, 1)(image))))


@pytest.mark.parametrize("extension", [".keras", ".h5"])
def test_own_layers_need_trust_and_their_module(extension: str, tmp_path: Path) -> None:
    model = own_model()
    path = save(model, tmp_path / f"m{extension}")
    with pytest.raises(RunError, match=r"Double|Halve"):
        loaded_from(path)
    loaded = loaded_from(path, trust=True, custom_objects=("tests.support.custom_layers",))
    assert_same_as_before_saving(model, loaded, batch(8))
    with pytest.raises(RunError, match=r"--custom_objects no\.such\.module"):
        loaded_from(path, trust=True, custom_objects=("no.such.module",))


def test_a_class_that_is_nowhere_is_named(tmp_path: Path) -> None:
    """What `custom_layers` registers is forgotten for a moment."""
    path = save(own_model(), tmp_path / "m.keras")
    with keras.saving.custom_object_scope({}):
        keras.saving.get_custom_objects().pop("tests>Double")
        try:
            with pytest.raises(RunError, match=r"Double.*--trust_model --custom_objects"):
                loaded_from(path, trust=True)
        finally:
            keras.saving.get_custom_objects()["tests>Double"] = Double


def test_subclassed_models_from_their_class_and_from_an_export(tmp_path: Path) -> None:
    model = Segmenter()
    model(batch(16))
    own = loaded_from(save(model, tmp_path / "m.keras"), trust=True, custom_objects=("tests.support.custom_layers",))
    assert own.inputs[0].shape[1:] == (16, 16, 3)
    assert_same_as_before_saving(model, own, batch(16))
    assert own.activations == (None,)

    exported = loaded_from(save(model, tmp_path / "exported"))
    assert exported.framework == "saved_model"
    np.testing.assert_allclose(exported.call(batch(16))[0], model(batch(16)), rtol=1e-5, atol=1e-5)


# Errors, the console and devices


def test_saved_models_without_a_signature_say_what_to_do(tmp_path: Path) -> None:
    tf.saved_model.save(tf.Module(), str(tmp_path / "m"))
    with pytest.raises(RunError, match=r"serving_default.*model\.export"):
        loaded_from(tmp_path / "m")


def test_a_model_without_room_in_memory_is_the_models_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(unet(keras), tmp_path / "m.keras")

    def full(*_: Any) -> NoReturn:
        raise MemoryError("9 TB")

    monkeypatch.setattr(keras_model, "load_keras", full)
    with pytest.raises(RunError, match=r"m\.keras: it does not fit into this machine's memory \(9 TB\)"):
        loaded_from(path)


def test_a_model_that_keras_cannot_build_is_one_short_message(tmp_path: Path) -> None:
    path = save(unet(keras), tmp_path / "m.keras")
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data.replace(b'"filters": 6', b'"filters": -6') if name == "config.json" else data)
    with pytest.raises(RunError) as caught:
        loaded_from(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 600 + len(str(path))


def test_starting_tensorflow_keeps_the_console_clean_and_errors_visible() -> None:
    code = (
        "import os, sys\n"
        "from maskbeam.pipeline.models.loading.tensorflow_start import start_tensorflow, _without_banner\n"
        "tf = start_tensorflow()\n"
        "with _without_banner(): os.write(2, b'I0000 00:00:1.1 1 x.cc:1] noise\\nreal trouble\\n')\n"
        "print(float(tf.reduce_sum(tf.ones(3))))\n"
        "print('after', file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "3.0\n"
    assert done.stderr == "real trouble\nafter\n"


def test_a_gpu_that_is_asked_for_and_absent_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    assert check_devices(gpu=False) == ("CPU",)
    with pytest.raises(RunError, match=r"GPU was asked for.*tensorflow\[and-cuda\]"):
        check_devices(gpu=True)


def test_kerashub_models_bring_the_preprocessor_that_is_attached_to_them(tmp_path: Path) -> None:
    """Runs only where the optional keras-hub is installed; nothing else tests it."""
    hub = pytest.importorskip("keras_hub")
    encoder = hub.models.ResNetBackbone(
        input_conv_filters=[64], input_conv_kernel_sizes=[7], stackwise_num_filters=[64] * 4,
        stackwise_num_blocks=[1] * 4, stackwise_num_strides=[1, 2, 2, 2], block_type="basic_block",
    )  # fmt: skip
    backbone = hub.models.DeepLabV3Backbone(
        image_encoder=encoder, spatial_pyramid_pooling_key="P4", low_level_feature_key="P2", upsampling_size=4,
        dilation_rates=[6], projection_filters=8,
    )  # fmt: skip
    converter = hub.layers.DeepLabV3ImageConverter(image_size=(64, 64), scale=1 / 255, offset=[-0.5, -0.4, -0.3])
    model = hub.models.DeepLabV3ImageSegmenter(
        backbone, num_classes=4, preprocessor=hub.models.DeepLabV3ImageSegmenterPreprocessor(converter)
    )
    model.save_to_preset(str(tmp_path / "preset"))
    for path in (save(model, tmp_path / "m.keras"), tmp_path / "preset"):
        loaded = loaded_from(path)
        assert loaded.inputs[0].shape == (None, 64, 64, 3)
        assert loaded.preprocessing[0].startswith("DeepLabV3ImageConverter(scale=0.00392157")
        np.testing.assert_allclose(
            loaded.call(batch(64))[0], model.predict(batch(64), verbose=0), rtol=1e-4, atol=1e-5
        )
