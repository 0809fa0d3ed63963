"""Loading a model: the only module that knows which Keras, or which TensorFlow call, opens which file."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.model_file import ModelFile
from pipeline.options import ModelOptions

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a model: its name, its shape with the batch first (None where free), its dtype."""

    name: str
    shape: Shape
    dtype: str


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model in this process's memory, and what its layers tell about it.

    Attributes:
        call: Takes one batch in the shape and dtype of `inputs[0]`, returns one tensor per entry of `outputs`, in
            that order. Traceable by `tf.function`; runs in inference mode.
        framework: What loaded it: `keras` (3), `tf_keras` (2) or `saved_model`.
        inputs: What the model takes.
        outputs: What the model gives.
        preprocessing: Layers that scale, resize or cast, reached straight from the input, in order, such as
            `Rescaling(scale=0.00784, offset=-1)`.
        activations: For each output the function that it ends in (`softmax`, `sigmoid`, `linear`, `argmax`...),
            None where that cannot be told.
        data_format: `channels_last` or `channels_first` where the model's layers say so, else None.
        model: The Keras model, or the object that TensorFlow restored.
    """

    call: Callable[[Any], tuple[Any, ...]]
    framework: Literal["keras", "tf_keras", "saved_model"]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    preprocessing: tuple[str, ...] = ()
    activations: tuple[str | None, ...] = ()
    data_format: str | None = None
    model: Any = None


def load(file: ModelFile, options: ModelOptions) -> LoadedModel:
    """Loads the model without compiling its loss; no code from the file runs unless `options.trust`."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import keras

    model = keras.saving.load_model(file.path, compile=False, safe_mode=not options.trust)
    outputs = [model.outputs] if not isinstance(model.outputs, (list, tuple)) else model.outputs
    names = list(getattr(model, "output_names", [t.name for t in outputs]))
    return LoadedModel(
        call=lambda batch: _as_tuple(model(batch, training=False)),
        framework="keras",
        inputs=_specs([t.name for t in model.inputs], model.inputs),
        outputs=_specs(names, outputs),
        activations=(None,) * len(outputs),
        model=model,
    )


def _specs(names: Sequence[str], tensors: Sequence[Any]) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(n, tuple(t.shape), str(t.dtype)) for n, t in zip(names, tensors, strict=True))


def _as_tuple(result: Any) -> tuple[Any, ...]:
    if isinstance(result, dict):
        return tuple(result.values())
    return tuple(result) if isinstance(result, (list, tuple)) else (result,)
