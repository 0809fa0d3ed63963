"""Layers that wait for each other in a circle, which Keras 2 would do for ever; all that Keras writes goes on."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import pytest
import tf_keras

from maskbeam.pipeline.models.files.layer_order import check_order, never_called
from maskbeam.pipeline.models.files.model_file import ModelFile
from maskbeam.pipeline.models.loading.loaded_model import open_model
from maskbeam.pipeline.options import ModelOptions
from maskbeam.transforms.errors import RunError
from tests.support.models import save, unet
from tests.unit.pipeline.models.loading.test_loaded_model import rewritten, small

BOTH = pytest.mark.parametrize("K", [keras, tf_keras], ids=lambda K: str(K.__name__))


def model_file(config: Any, version: str = "2.15.0") -> ModelFile:
    return ModelFile("m", Path("m"), "h5", version, "", 0, json.loads(json.dumps(config)))


def feeding(name: str, *calls: tuple[str, int], class_name: str = "Dense") -> dict[str, Any]:
    """A layer of Keras 2 with a call for each of what feeds it."""
    nodes = [[[source, node, 0, {}]] for source, node in calls]
    return {"class_name": class_name, "name": name, "config": {"name": name}, "inbound_nodes": nodes}


IMAGE = feeding("image", class_name="InputLayer")


@pytest.mark.parametrize(
    ("layers", "stuck"),
    [
        ([IMAGE, feeding("a", ("a", 0))], ["a"]),
        ([IMAGE, feeding("a", ("b", 0)), feeding("b", ("a", 0))], ["a", "b"]),
        ([IMAGE, feeding("a", ("image", 0), ("a", 1))], ["a"]),
        ([IMAGE, feeding("a", ("image", 0)), feeding("b", ("a", 1))], ["b"]),
        ([IMAGE, feeding("a"), feeding("b", ("a", 0))], ["b"]),
        ([IMAGE, feeding("a", ("b", 0)), feeding("b", ("image", 0))], []),  # in another order
        ([IMAGE, feeding("a", ("image", 0), ("b", 0)), feeding("b", ("a", 0))], []),  # a(b(a(image)))
        ([IMAGE, feeding("a", ("image", 3))], []),
        ([IMAGE, feeding("a", ("nobody", 0))], []),  # Keras says so at once
    ],
)
def test_a_layer_waits_for_what_no_call_before_gives(layers: list[Any], stuck: list[str]) -> None:
    assert never_called(layers) == stuck


def nested(K: Any) -> Any:
    """Models inside a model, one called twice, layers called twice, and tensors among the arguments of a call."""
    inner = unet(K, size=8, channels=2, classes=2)
    image = K.Input((8, 8, 2))
    twice = K.layers.Conv2D(2, 1)
    x = twice(inner(inner(twice(image))))
    x = K.layers.MultiHeadAttention(1, 2, attention_axes=(1, 2))(x, value=inner(x), key=image)
    return K.Model(image, K.Sequential([K.layers.ReLU(), K.layers.Conv2D(2, 1)])(x + 1))


@BOTH
def test_what_keras_writes_goes_on(K: Any) -> None:
    model = K.Model.from_config(nested(K).get_config())
    serialised = K.saving.serialize_keras_object(model)
    older = [] if K is keras else [json.loads(model.to_json())]
    for config in [serialised, *older]:
        for version in ("2.15.0", "3.5.0"):
            for trust in (False, True):
                check_order(model_file(config, version), trust=trust)


def with_itself(model: Any) -> None:
    """Makes the last Conv2D of a model's configuration wait for itself."""
    layer = next(one for one in reversed(model["layers"]) if one["class_name"] == "Conv2D")
    text = json.dumps(layer["inbound_nodes"])
    source = text.split('"keras_history": ["' if "keras_history" in text else '[[["')[1].partition('"')[0]
    layer["inbound_nodes"] = json.loads(text.replace(f'"{source}"', f'"{layer["config"]["name"]}"'))


@BOTH
@pytest.mark.parametrize("extension", [".keras", ".h5"])
@pytest.mark.parametrize("inside", [False, True])
def test_a_layer_that_feeds_itself_is_refused(K: Any, extension: str, inside: bool, tmp_path: Path) -> None:
    path = save(small(K, K.layers.Conv2D(3, 1), small(K)), tmp_path / f"m{extension}")

    def change(text: str) -> str:
        config = json.loads(text)
        models = [one for one in config["config"]["layers"] if "layers" in one["config"]]
        with_itself(models[0]["config"] if inside else config["config"])
        return json.dumps(config)

    with pytest.raises(RunError, match="refused, its layers wait for each other in a circle"):
        open_model(ModelOptions(path=str(rewritten(path, change))))


@pytest.mark.parametrize(
    "nodes", [3, [{"class_name": "__keras_tensor__", "config": {}}], [[["a", 0, 0, {"x": 1}]], 7]]
)
def test_other_connections_are_refused_or_left_to_keras(nodes: Any) -> None:
    layers = [IMAGE, {**feeding("a"), "inbound_nodes": nodes}]
    file = model_file({"class_name": "Functional", "config": {"layers": layers, "output_layers": []}})
    with pytest.raises(RunError, match=r"does not connect its layers|wait for each other"):
        check_order(file, trust=False)
    check_order(replace(file, kind="saved_model"), trust=False)
