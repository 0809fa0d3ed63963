"""Opens models: `open_model` looks at the file and loads nothing, `load` brings it into this process's memory."""

import os
import re
import sys
from dataclasses import dataclass, replace
from functools import partial, reduce
from itertools import chain, count
from typing import Any, Literal

import numpy as np

from maskbeam.pipeline.models.files.input_scaling import Scaling, find_scaling
from maskbeam.pipeline.models.files.layer_order import check_order
from maskbeam.pipeline.models.files.model_facts import TensorSpec, file_facts
from maskbeam.pipeline.models.files.model_file import ModelFile, check_digest, recognise
from maskbeam.pipeline.models.files.model_graph import Layer
from maskbeam.pipeline.models.files.model_safety import check_safety
from maskbeam.pipeline.models.loading.cores import share_cores
from maskbeam.pipeline.models.loading.keras_loader import Call, load_keras
from maskbeam.pipeline.models.loading.saved_model_loader import load_saved_model
from maskbeam.pipeline.models.loading.tensorflow_start import start_tensorflow
from maskbeam.pipeline.options import ModelOptions
from maskbeam.transforms.errors import RunError

__all__ = ["LoadedModel", "TensorSpec", "load", "open_model"]

_UNKNOWN = re.compile(
    r"Unknown (?:layer|object|initializer|regularizer|constraint|[a-z]+ function):? '?([\w>.]+)"
    r"|(?:locate \w+|object of type) [`']([\w>.]+)"
)
# What Keras 3 says of weights: how many layers lack theirs, an example, its cause, what it was, and then all of them.
_OTHER_WEIGHTS = re.compile(
    r"A total of (\d+) objects could not be loaded\. Example error message for object (.*?):\n\n"
    r"(.*?)\n\nList of objects",
    re.S,
)
_NAMED_LAYER = re.compile(r"<(\w+) name=([^,>]+)")
_SHAPES = re.compile(r"variable\.shape=(\(.*?\)).*value\.shape=(\(.*?\))", re.S)
_OTHER_BYTECODE = re.compile(r"EOF read where|bad marshal data|marshal data too short")
_QUOTED = re.compile(r"Exception encountered: ")
# Keras prints its layers' messages in bold.
_BOLD = re.compile(r"\x1b\[\d*m")
_LONGEST_REASON = 300


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model in this process's memory, and what its layers tell about it.

    Attributes:
        call: Takes one batch in the shape of `inputs[0]`, any real dtype, and returns one tensor per entry of
            `outputs`, in that order. Traceable by `tf.function`; runs in inference mode.
        framework: What loaded it: `keras` (3), `tf_keras` (2) or `saved_model`.
        inputs: What the model takes.
        outputs: What the model gives.
        preprocessing: What prepares the image inside the model, reached straight from its input, in order, such as
            `Rescaling(scale=0.00784, offset=-1)`.
        scales_input: Whether any of it changes the scale of the values.
        scaling: What it makes of a value, None where that is not known.
        activations: For each output the function that it ends in (`softmax`, `sigmoid`, `linear`, `argmax`...),
            None where that cannot be told.
        data_format: `channels_last` or `channels_first` where the model's layers say so, else None.
        model: The Keras model, or the object that TensorFlow restored.
    """

    call: Call
    framework: Literal["keras", "tf_keras", "saved_model"]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    preprocessing: tuple[str, ...] = ()
    activations: tuple[str | None, ...] = ()
    data_format: str | None = None
    model: Any = None
    scales_input: bool = False
    scaling: Scaling | None = None


def open_model(options: ModelOptions) -> ModelFile:
    """Recognises the model that the options name, holds it against its pinned digest and searches it for code.

    Needs neither TensorFlow nor Keras, so that a wrong model stops a run before it starts.

    Raises:
        RunError: It is missing, damaged, no whole model, not the pinned one, not safe to load, or goes in circles.
    """
    if options.custom_objects and not options.trust:
        raise RunError("--custom_objects runs code of your own: give --trust_model with it.")
    file = recognise(options.path)
    check_digest(file, options.sha256)
    check_safety(file, trust=options.trust)
    check_order(file, trust=options.trust)
    return file


def load(file: ModelFile, options: ModelOptions) -> LoadedModel:
    """Loads a model without compiling its loss; no code from the file runs unless `options.trust`.

    Raises:
        RunError: The model is not safe to load, needs classes that are not there or more memory, or is damaged.
    """
    from maskbeam.pipeline.process.watchdog import step

    check_safety(file, trust=options.trust)
    facts = file_facts(file)
    if file.framework == "tf_keras":
        # The user's module may say `tensorflow.keras`, which is Keras 3 unless TensorFlow is told before it starts.
        os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    start_tensorflow(threads=share_cores(facts.plane_pixels).threads)
    try:
        with step("loaded"):
            loaded = load_saved_model(file) if file.kind == "saved_model" else load_keras(file, facts, options)
    except RunError:
        raise
    except MemoryError as error:
        raise RunError(f"--model {file.uri}: it does not fit into this machine's memory ({error}).") from error
    except Exception as error:
        # Keras raises whatever its layers raise, with whole configurations in the message.
        raise RunError(load_failure(file, error, options)) from error
    known = len(facts.activations) == len(loaded.outputs)
    return LoadedModel(
        call=loaded.call,
        framework=file.framework,
        inputs=loaded.inputs,
        outputs=told_apart(loaded.outputs),
        preprocessing=facts.preprocessing,
        activations=facts.activations if known else (None,) * len(loaded.outputs),
        data_format=facts.data_format,
        model=loaded.model,
        scales_input=facts.scales_input,
        scaling=find_scaling(facts.chain, partial(_learnt, loaded.model)) if facts.scales_input else None,
    )


def told_apart(outputs: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
    """The same outputs, each with a name of its own: the second `NAME`, as of a layer that gives two, is `NAME:1`."""
    named: dict[str, TensorSpec] = {}
    for output in outputs:
        names = chain([output.name], (f"{output.name}:{number}" for number in count(1)))
        name = next(name for name in names if name not in named)
        named[name] = replace(output, name=name)
    return tuple(named.values())


def _learnt(model: Any, layer: Layer) -> tuple[Any, Any] | None:
    """The mean and the variance that a Normalization layer, which may lie in nested models, has learnt."""
    try:
        found = reduce(lambda outer, name: outer.get_layer(name), layer.key.split("/"), model)
        return np.asarray(found.mean), np.asarray(found.variance)
    except (AttributeError, TypeError, ValueError):
        # Of another kind, without a name of its own, or never adapted: then its configuration has all there is.
        return None


def load_failure(file: ModelFile, error: Exception, options: ModelOptions) -> str:
    """The cause why Keras or TensorFlow could not load a model, in one line, and what helps."""
    saved = f", saved by Keras {file.keras_version}," if file.keras_version else ""
    cause = _cause(str(error))
    if weights := _OTHER_WEIGHTS.search(str(error)):
        return f"--model {file.uri}{saved} holds {_other_weights(*weights.groups())}"
    if found := _UNKNOWN.search(cause):
        return (
            f"--model {file.uri}{saved} needs {found[1] or found[2]!r}, which is not part of Keras. {_ways(options)}"
        )
    if isinstance(error, EOFError | ValueError) and _OTHER_BYTECODE.search(cause):
        version = ".".join(map(str, sys.version_info[:2]))
        return (
            f"--model {file.uri}{saved} holds code of another version of Python (a Lambda layer), which Python "
            f"{version} cannot read. Load it with the Python that saved it, and write it as a SavedModel folder."
        )
    return f"--model {file.uri}{saved} cannot be loaded by {file.framework}: {type(error).__name__}: {cause}"


def _other_weights(number: str, example: str, cause: str) -> str:
    layer, shapes = _NAMED_LAYER.search(example), _SHAPES.search(cause)
    name = f"{layer[1]} {layer[2]!r}" if layer else "the first"
    told = f"wants {shapes[1]}, and the file has {shapes[2]}" if shapes else _cause(cause)
    return (
        f"weights that do not fit {number} of its layers. {name}: {told}. Save the whole model again with model.save."
    )


def _cause(text: str) -> str:
    """The end of a message of Keras, without the configuration that it quotes before."""
    last = _QUOTED.split(text)[-1] or text
    return " ".join(_BOLD.sub("", last).split())[:_LONGEST_REASON]


def _ways(options: ModelOptions) -> str:
    if not options.custom_objects:
        return (
            "--trust_model --custom_objects pkg.module brings layers of your own; docs/faults.md shows such a module."
        )
    modules = ", ".join(options.custom_objects)
    return f"The modules of --custom_objects ({modules}) do not give it: define or import it there by this name."
