"""Brings Keras models into memory: the one place that knows which Keras opens which file."""

import os
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskbeam.pipeline.models.files.build_bounds import bounded_weights, check_planes
from maskbeam.pipeline.models.files.model_facts import ModelFacts, TensorSpec
from maskbeam.pipeline.models.files.model_file import ModelFile
from maskbeam.pipeline.models.loading.custom_objects import import_custom_objects, known_objects
from maskbeam.pipeline.models.loading.tensorflow_start import start_tensorflow
from maskbeam.pipeline.options import ModelOptions
from maskbeam.pipeline.process.temporary import temporary_folder
from maskbeam.transforms.errors import RunError

Call = Callable[[Any], tuple[Any, ...]]

_LOST = re.compile(r"Skipping nested container at '(.*?)': .*freshly-initialized weights", re.S)

# A multiple of the stride of nearly all networks.
_TRACED_SIDE = 256


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
            model = _open_keras_2(path, file, custom, options)
        else:
            model = _open_keras_3(path, file, custom, options)
    check_planes(model, file.uri)
    inputs = _inputs(model, facts)
    forward = _make_forward(model, inputs[0].dtype)

    def call(batch: Any) -> tuple[Any, ...]:
        return tuple(_flatten(forward(batch)))

    return Loaded(model, call, inputs, _outputs(model, forward, inputs[0]))


def _open_keras_2(path: Path, file: ModelFile, custom: dict[str, Any], options: ModelOptions) -> Any:
    import tf_keras
    from tf_keras.src.engine.functional import Functional
    from tf_keras.src.layers.core import tf_op_layer
    from tf_keras.src.saving.serialization_lib import SafeModeScope

    # Early Keras 2 files name these by modules that have moved since.
    moved = {name: getattr(tf_op_layer, name) for name in ("TFOpLambda", "SlicingOpLambda")}
    objects = {"Functional": Functional} | moved | known_objects(tf_keras) | custom
    safe = not options.trust
    # Asked for by its argument, safe mode is not in force for HDF5 files.
    with SafeModeScope(safe), _building(tf_keras, file):
        return tf_keras.models.load_model(path, objects, compile=False, safe_mode=safe)


def _open_keras_3(path: Path, file: ModelFile, custom: dict[str, Any], options: ModelOptions) -> Any:
    import keras

    hub = _import_keras_hub(file) if _needs_keras_hub(file) else None
    with _building(keras, file), _all_weights(file):
        if hub is not None and (path / "task.json").exists():
            return hub.models.ImageSegmenter.from_preset(str(path))
        objects = known_objects(keras) | custom
        return keras.saving.load_model(path, objects, compile=False, safe_mode=not options.trust)


@contextmanager
def _building(K: Any, file: ModelFile) -> Iterator[None]:
    """Builds no more than the file holds, and compiles nothing: a model inside another brings its own loss."""
    compiled = K.Model.compile_from_config
    K.Model.compile_from_config = lambda *_: None
    try:
        with bounded_weights(K.layers.Layer, file):
            yield
    finally:
        K.Model.compile_from_config = compiled


@contextmanager
def _all_weights(file: ModelFile) -> Iterator[None]:
    """Refuses what Keras 3 only warns of: layers in lists of lists, which older ones wrote no weights of."""
    with warnings.catch_warnings(record=True) as told:
        warnings.filterwarnings("always", message="Skipping nested container")
        yield
    if lost := next((found for one in told if (found := _LOST.search(str(one.message)))), None):
        raise RunError(
            f"--model {file.uri}: the file has no weights for the layers at {lost[1]!r}, so they would be random. "
            f"Keras {file.keras_version} did not write those of layers in lists of lists: keep them in one list, or "
            "build the model where its weights are and save it with a newer Keras."
        )


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
    with temporary_folder() as folder:
        link = folder / f"model{extension}"
        link.symlink_to(file.path.absolute())
        yield link


def _make_forward(model: Any, dtype: str) -> Callable[[Any], Any]:
    """The model in inference mode, its outputs as it structures them."""
    tf = start_tensorflow()
    # KerasHub keeps what prepares an image beside the model, and only `predict` applies it.
    prepare = _attached_converter(model) or (lambda batch: batch)
    return lambda batch: model(prepare(tf.cast(batch, dtype)), training=False)


def _attached_converter(model: Any) -> Any:
    return getattr(getattr(model, "preprocessor", None), "image_converter", None)


def _inputs(model: Any, facts: ModelFacts) -> tuple[TensorSpec, ...]:
    if facts.inputs and _attached_converter(model):
        return facts.inputs
    tensors = _flatten(getattr(model, "inputs", None))
    return tensor_specs(_input_names(model, tensors), tensors) if tensors else (_built_for(model),)


def _input_names(model: Any, tensors: list[Any]) -> list[str]:
    return list(getattr(model, "input_names", None) or [_layer_name(tensor) for tensor in tensors])


def _outputs(model: Any, forward: Callable[[Any], Any], taken: TensorSpec) -> tuple[TensorSpec, ...]:
    """The outputs in the order of flattening, named as the user named them where they did."""
    tensors = _flatten(getattr(model, "outputs", None))
    # Keras 3 and Keras 2.
    structures = [getattr(model, name, None) for name in ("_outputs_struct", "_nested_outputs")]
    if not tensors:
        structures = [_trace(forward, taken)]
        tensors = _flatten(structures[0])
    for structure in structures:
        if isinstance(structure, dict) and len(structure) == len(tensors):
            return tensor_specs(sorted(structure), tensors)  # Flattening sorts the keys, too.
    return tensor_specs(getattr(model, "output_names", None) or _numbered(len(tensors)), tensors)


def _numbered(count: int) -> list[str]:
    return ["output"] if count == 1 else [f"output_{index}" for index in range(count)]


def _flatten(structure: Any) -> list[Any]:
    return [] if structure is None else list(start_tensorflow().nest.flatten(structure))


def _layer_name(tensor: Any) -> str:
    return str(tensor.name).partition(":")[0]


def _trace(forward: Callable[[Any], Any], taken: TensorSpec) -> Any:
    """The model's output for its input, as it structures it."""
    tf = start_tensorflow()

    def traced(shape: Sequence[int | None]) -> Any:
        return tf.function(forward).get_concrete_function(tf.TensorSpec(shape, taken.dtype)).structured_outputs

    try:
        return traced(taken.shape)
    except Exception:
        if None not in taken.shape[1:]:
            raise
        # Some layers (bilinear upsampling for one) cannot be traced for sizes that are not known.
        return traced((taken.shape[0], *(side or _TRACED_SIDE for side in taken.shape[1:])))


def _built_for(model: Any) -> TensorSpec:
    """The input that a sub-classed model was built for."""
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
