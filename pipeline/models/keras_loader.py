"""Brings Keras models into memory: the one place that knows which Keras opens which file."""

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.models.custom_objects import import_custom_objects
from pipeline.models.model_facts import ModelFacts, TensorSpec
from pipeline.models.model_file import ModelFile
from pipeline.models.tensorflow_start import start_tensorflow
from pipeline.options import ModelOptions
from transforms.errors import RunError

Call = Callable[[Any], tuple[Any, ...]]


@dataclass(frozen=True, eq=False)
class Loaded:
    """A model in memory; `call` takes one batch of any real dtype and returns one tensor per entry of `outputs`."""

    model: Any
    call: Call
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


def load_keras(file: ModelFile, facts: ModelFacts, options: ModelOptions) -> Loaded:
    """Loads a `.keras` or HDF5 file, a KerasHub preset or an unpacked `.keras`, with the Keras that wrote it."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    start_tensorflow()
    custom = import_custom_objects(options.custom_objects)
    with _named_for_keras(file) as path:
        if file.framework == "tf_keras":
            model = _open_keras_2(path, custom, options)
        else:
            model = _open_keras_3(path, file, custom, options)
    inputs = _inputs(model, facts)
    call = _make_call(model, inputs[0].dtype)
    return Loaded(model, call, inputs, _outputs(model, call, inputs[0]))


def _open_keras_2(path: Path, custom: dict[str, Any], options: ModelOptions) -> Any:
    import tf_keras
    from tf_keras.src.engine.functional import Functional
    from tf_keras.src.layers.core import tf_op_layer

    # Early Keras 2 files name these by modules that have moved since.
    moved = {name: getattr(tf_op_layer, name) for name in ("TFOpLambda", "SlicingOpLambda")}
    objects = {"Functional": Functional} | moved | custom
    return tf_keras.models.load_model(path, objects, compile=False, safe_mode=not options.trust)


def _open_keras_3(path: Path, file: ModelFile, custom: dict[str, Any], options: ModelOptions) -> Any:
    import keras

    if _needs_keras_hub(file):
        hub = _import_keras_hub(file)
        if (path / "task.json").exists():
            return hub.models.ImageSegmenter.from_preset(str(path))
    return keras.saving.load_model(path, custom, compile=False, safe_mode=not options.trust)


def _needs_keras_hub(file: ModelFile) -> bool:
    return str(file.config.get("module")).startswith("keras_hub")


def _import_keras_hub(file: ModelFile) -> Any:
    try:
        import keras_hub
    except ImportError as error:
        raise RunError(
            f"--model {file.uri} is a KerasHub model: install keras-hub (pip install keras-hub). {error}"
        ) from error
    return keras_hub


@contextmanager
def _named_for_keras(file: ModelFile) -> Iterator[Path]:
    """A path to the model that ends as its content is: Keras goes by a file's extension."""
    extension = {"keras": ".keras", "h5": ".h5"}.get(file.kind, "")
    if file.path.name.endswith(extension):
        yield file.path
        return
    with tempfile.TemporaryDirectory(prefix="maskbeam-") as folder:
        link = Path(folder) / f"model{extension}"
        link.symlink_to(file.path.absolute())
        yield link


def _make_call(model: Any, dtype: str) -> Call:
    tf = start_tensorflow()
    # KerasHub keeps what prepares an image beside the model, and only `predict` applies it.
    prepare = _attached_converter(model) or (lambda batch: batch)

    def call(batch: Any) -> tuple[Any, ...]:
        return tuple(tf.nest.flatten(model(prepare(tf.cast(batch, dtype)), training=False)))

    return call


def _attached_converter(model: Any) -> Any:
    return getattr(getattr(model, "preprocessor", None), "image_converter", None)


def _inputs(model: Any, facts: ModelFacts) -> tuple[TensorSpec, ...]:
    if facts.inputs and _attached_converter(model):
        return facts.inputs
    tensors = _flatten(getattr(model, "inputs", None))
    return tensor_specs(_input_names(model, tensors), tensors) if tensors else (_built_for(model),)


def _input_names(model: Any, tensors: list[Any]) -> list[str]:
    return list(getattr(model, "input_names", None) or [_layer_name(tensor) for tensor in tensors])


def _outputs(model: Any, call: Call, taken: TensorSpec) -> tuple[TensorSpec, ...]:
    """The outputs in the order in which `call` gives them, named as the user named them where they did."""
    tensors = _flatten(getattr(model, "outputs", None)) or _trace(call, taken)
    for attribute in ("_outputs_struct", "_nested_outputs"):  # Keras 3 and Keras 2.
        structure = getattr(model, attribute, None)
        if isinstance(structure, dict):
            return tensor_specs(sorted(structure), tensors)  # Flattening sorts the keys, too.
    return tensor_specs(getattr(model, "output_names", None) or _numbered(len(tensors)), tensors)


def _numbered(count: int) -> list[str]:
    return ["output"] if count == 1 else [f"output_{index}" for index in range(count)]


def _flatten(structure: Any) -> list[Any]:
    return [] if structure is None else list(start_tensorflow().nest.flatten(structure))


def _layer_name(tensor: Any) -> str:
    return str(tensor.name).partition(":")[0]


def _trace(call: Call, taken: TensorSpec) -> list[Any]:
    tf = start_tensorflow()
    traced = tf.function(call).get_concrete_function(tf.TensorSpec(taken.shape, taken.dtype))
    return _flatten(traced.structured_outputs)


def _built_for(model: Any) -> TensorSpec:
    """What a sub-classed model was built for."""
    shape = getattr(model, "_build_shapes_dict", None) or getattr(model, "_build_input_shape", None)
    while isinstance(shape, dict) and shape:
        shape = next(iter(shape.values()))
    if shape is None or len(shape) != 4:
        raise RunError(
            f"The model is sub-classed and does not tell the shape of its input (found {shape}); call it once on a "
            "batch of images before saving it, or export it as a SavedModel."
        )
    return TensorSpec("images", (None, *shape[1:]), "float32")


def tensor_specs(names: Sequence[str], tensors: Sequence[Any]) -> tuple[TensorSpec, ...]:
    """Describes tensors of Keras or TensorFlow."""
    pairs = zip(names, tensors, strict=True)
    return tuple(TensorSpec(name, _shape(t.shape), str(getattr(t.dtype, "name", t.dtype))) for name, t in pairs)


def _shape(shape: Any) -> tuple[int | None, ...]:
    # TensorFlow knows shapes of unknown rank; images have four axes.
    return (None,) * 4 if getattr(shape, "rank", 4) is None else tuple(shape)
