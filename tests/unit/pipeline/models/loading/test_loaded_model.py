"""Models that people have, and models that were made to harm: what loads, what is refused, and in which words."""

import json
import os
import zipfile
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
import tf_keras
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tensorflow.python.util.lazy_loader import KerasLazyLoader
from tf_keras.src.layers.rnn.cell_wrappers import ResidualWrapper

from maskbeam.pipeline.models.files.model_facts import file_facts
from maskbeam.pipeline.models.files.model_file import recognise
from maskbeam.pipeline.models.loading import loaded_model as keras_model
from maskbeam.pipeline.models.loading.custom_objects import import_custom_objects
from maskbeam.pipeline.models.loading.keras_loader import load_keras
from maskbeam.pipeline.models.loading.loaded_model import LoadedModel, load, open_model
from maskbeam.pipeline.options import ModelOptions
from maskbeam.transforms.errors import RunError
from tests.support.models import save, sequential

BOTH = pytest.mark.parametrize("K", [keras, tf_keras], ids=lambda K: str(K.__name__))


def loaded_from(path: Path, **options: Any) -> LoadedModel:
    chosen = ModelOptions(path=str(path), **options)
    return load(open_model(chosen), chosen)


def small(K: Any, *layers: Any, size: int = 4) -> Any:
    image = x = K.layers.Input((size, size, 3))
    for layer in layers or (K.layers.Conv2D(2, 1),):
        x = layer(x)
    return K.Model(image, x)


def rewritten(path: Path, change: Callable[[str], str]) -> Path:
    """The model at `path` with another configuration."""
    if path.suffix == ".h5":
        with h5py.File(path, "a") as file:
            file.attrs["model_config"] = change(str(file.attrs["model_config"]))
        return path
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    entries["config.json"] = change(entries["config.json"].decode()).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return path


# Code


@pytest.mark.parametrize("extension", [".h5", ".keras"])
def test_functions_of_rnn_cells_never_run(extension: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code = "lambda inputs, outputs: __import__('pathlib').Path('touched').write_text('x') and outputs"
    cell = tf_keras.layers.GRUCell(3)
    cell = ResidualWrapper(cell, residual_fn=eval(code))
    layers = tf_keras.layers.Reshape((16, 3)), tf_keras.layers.RNN(cell, return_sequences=True)
    path = save(small(tf_keras, *layers), tmp_path / f"m{extension}")
    (tmp_path / "touched").unlink()
    options = ModelOptions(path=str(path))
    with pytest.raises(RunError, match=r"'ResidualWrapper'.*--trust_model"):
        open_model(options)
    # Where the search should miss something, Keras's own safe mode is in force, for HDF5 files, too.
    file = recognise(str(path))
    with pytest.raises(ValueError, match="safe_mode=False"):
        load_keras(file, file_facts(file), options)
    assert not (tmp_path / "touched").exists()


@BOTH
def test_an_inner_models_own_loss_is_left_alone(K: Any, tmp_path: Path) -> None:
    def dice_loss(true: Any, predicted: Any) -> Any:
        return 1 - K.backend.mean(true * predicted)

    inner = small(K)
    inner.compile(loss=dice_loss)
    model = small(K, inner)
    model.compile(loss=dice_loss)
    images = np.ones((1, 4, 4, 3), np.float32)
    loaded = loaded_from(save(model, tmp_path / "m.keras"))
    np.testing.assert_allclose(loaded.call(images)[0], model(images), rtol=1e-5)


# Bounds


@BOTH
@pytest.mark.parametrize("extension", [".keras", ".h5"])
def test_a_model_may_not_ask_for_more_weights_than_its_file_holds(K: Any, extension: str, tmp_path: Path) -> None:
    path = save(small(K, K.layers.Conv2D(7, 1), K.layers.Conv2D(11, 1)), tmp_path / f"m{extension}")
    many = rewritten(path, lambda text: text.replace('"filters": 7', '"filters": 1000000000'))
    with pytest.raises(RunError, match=r"need 3,000,000,000 weights.*holds 464 bytes"):
        loaded_from(many)
    # Each is small beside what both of them together make.
    both = {"1000000000": "100000", '"filters": 11': '"filters": 100000', "4, 4, 7]": "4, 4, 100000]"}
    square = rewritten(path, lambda text: reduce(lambda old, new: old.replace(*new), both.items(), text))
    with pytest.raises(RunError, match=r"need 10,000,\d\d\d,\d\d\d weights"):
        loaded_from(square)


@BOTH
def test_a_model_may_not_ask_for_planes_that_no_memory_holds(K: Any, tmp_path: Path) -> None:
    path = save(
        small(K, K.layers.UpSampling2D(3), K.layers.Cropping2D(1), K.layers.Conv2D(2, 1)), tmp_path / "m.keras"
    )
    large = rewritten(path, lambda text: text.replace('"size": [3, 3]', '"size": [999983, 999983]'))
    with pytest.raises(RunError, match=r"refused, its layer '\w+' needs \[\d+, \d+, \d+\]"):
        loaded_from(large)
    wide = save(small(K), tmp_path / "wide.keras")
    wide = rewritten(wide, lambda text: text.replace("[null, 4, 4, 3]", "[null, 1000000, 1000000, 3]"))
    with pytest.raises(RunError, match=r"\[1000000, 1000000, \d\].*this machine has"):
        loaded_from(wide)


WIDE: dict[str, tuple[Callable[[Any], Any], str]] = {
    "dilation": (lambda K: K.layers.Conv2D(2, 3, padding="same", dilation_rate=7), '"dilation_rate": [7, 7]'),
    "depthwise": (lambda K: K.layers.DepthwiseConv2D(3, padding="same", dilation_rate=7), '"dilation_rate": [7, 7]'),
    "pool": (lambda K: K.layers.MaxPooling2D(7, strides=1, padding="same"), '"pool_size": [7, 7]'),
    "mean": (lambda K: K.layers.AveragePooling2D(7, strides=1, padding="same"), '"pool_size": [7, 7]'),
    "padding": (lambda K: K.layers.ZeroPadding2D(7), "[[7, 7], [7, 7]]"),
}


@BOTH
@pytest.mark.parametrize("kind", WIDE)
def test_a_layer_may_not_see_farther_than_memory_reaches(K: Any, kind: str, tmp_path: Path) -> None:
    layer, words = WIDE[kind]
    model = K.Sequential([K.layers.Input((4, 4, 3)), layer(K)])
    many = words.replace("7", "1000000000")
    path = rewritten(save(model, tmp_path / "m.keras"), lambda text: text.replace(words, many))
    with pytest.raises(RunError, match=r"refused, its layer '\w+' needs \[\d+, \d+, 3\] values for each image"):
        loaded_from(path)


# Models that people have


def test_sequential_models_of_early_keras_2(tmp_path: Path) -> None:
    """Their configuration is a list of layers, without a name."""
    model = sequential(tf_keras)
    path = save(model, tmp_path / "m.h5")

    def early(text: str) -> str:
        config = json.loads(text)
        first, *layers = config["config"]["layers"]
        layers[0]["config"]["batch_input_shape"] = first["config"]["batch_input_shape"]
        return json.dumps(config | {"config": layers})

    loaded = loaded_from(rewritten(path, early))
    images = np.random.default_rng(0).uniform(0, 255, (1, 32, 32, 3)).astype(np.float32)
    np.testing.assert_allclose(loaded.call(images)[0], model(images), rtol=1e-4, atol=1e-6)
    assert loaded.preprocessing == ("Rescaling(scale=0.00392157, offset=0)",)
    assert loaded.activations == ("softmax",)


@BOTH
def test_efficientnets_own_dropout_and_activation_are_known_by_name(K: Any, tmp_path: Path) -> None:
    class FixedDropout(K.layers.Dropout):  # type: ignore[misc]
        pass

    layers = FixedDropout(0.2), K.layers.Conv2D(2, 1), K.layers.Activation("swish")
    model = small(K, *layers)
    images = np.ones((1, 4, 4, 3), np.float32)
    loaded = loaded_from(save(model, tmp_path / "m.h5"))
    np.testing.assert_allclose(loaded.call(images)[0], model(images), rtol=1e-5)


MODULE = """
import math
import numpy as np
from numpy import pad
from tensorflow.keras import layers
from tensorflow.keras.layers import Conv2D, Dropout as AnyDropout
from tests.support.custom_layers import Double
class Own(layers.Layer):
    pass
def own_activation(x):
    return x
"""


def test_modules_give_what_they_define_and_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine_18.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert set(import_custom_objects(["mine_18"])) == {"AnyDropout", "Double", "Own", "own_activation"}


@pytest.mark.parametrize(("K", "told"), [(tf_keras, "1"), (keras, None)], ids=["2", "3"])
def test_tensorflow_is_told_before_it_starts_which_keras_a_users_module_means(
    K: Any, told: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", "")
    monkeypatch.delenv("TF_USE_LEGACY_KERAS")
    starts = []

    def start(threads: int = 0) -> None:
        starts.append(os.environ.get("TF_USE_LEGACY_KERAS"))

    monkeypatch.setattr(keras_model, "start_tensorflow", start)
    loaded_from(save(small(K), tmp_path / "m.h5"))
    assert starts == [told]
    assert KerasLazyLoader({}).layers.Layer is K.layers.Layer


# Other configurations


@pytest.mark.parametrize(
    "shape", ['"abcd"', '["a", 4, 4, 3]', "[null, 4.5, 4, 3]", "7", '{"4": 4}', "[[1], 4, 4, 3]"]
)
def test_an_input_whose_shape_is_none(shape: str, tmp_path: Path) -> None:
    path = rewritten(save(small(keras), tmp_path / "m.keras"), lambda text: text.replace("[null, 4, 4, 3]", shape))
    with pytest.raises(RunError, match=r"cannot be loaded by keras: \w+Error"):
        loaded_from(path)


BROKEN = st.sampled_from([None, True, -1, 3, 1e9, "abcd", "", [], ["x"], [[1]], {}, {"a": 1}])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 10_000), value=BROKEN)
def test_whatever_a_configuration_holds_ends_in_words(place: int, value: Any, tmp_path: Path) -> None:
    """Some are still models: those load."""
    path = tmp_path / "m.h5"
    if not path.exists():
        save(small(keras, keras.layers.Rescaling(1 / 255), keras.layers.Conv2D(2, 1, activation="relu")), path)
        with h5py.File(path) as file:
            (tmp_path / "whole.json").write_text(str(file.attrs["model_config"]))
    config = json.loads((tmp_path / "whole.json").read_text())
    holders = list(_holders(config))
    holder, key = holders[place % len(holders)]
    holder[key] = value
    rewritten(path, lambda _: json.dumps(config))
    said = None
    try:
        loaded_from(path)
    except RunError as error:
        said = str(error)
    assert said is None or str(path) in said


def _holders(value: Any) -> Any:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield value, key
        yield from _holders(item)


@pytest.mark.parametrize(("text", "says"), [("{", r"its notes\.json is damaged"), ("\0", "notes.json"), ("[1]", "")])
def test_other_json_in_a_models_folder(text: str, says: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(save(small(keras), tmp_path / "m.keras")) as archive:
        archive.extractall(tmp_path / "folder")
    (tmp_path / "folder" / "notes.json").write_text(text)
    if says:
        with pytest.raises(RunError, match=says):
            open_model(ModelOptions(path=str(tmp_path / "folder")))
    else:
        assert open_model(ModelOptions(path=str(tmp_path / "folder"))).kind == "keras_folder"
