"""Facts that a model's layers tell: how to feed it and how to read what it gives."""

from dataclasses import dataclass, replace
from math import prod
from typing import Any

from maskbeam.pipeline.models.files.input_scaling import ARITHMETIC, Scaling, find_scaling
from maskbeam.pipeline.models.files.model_file import ModelFile
from maskbeam.pipeline.models.files.model_graph import Config, Graph, Layer, read_graph
from maskbeam.pipeline.models.files.saved_model import read_saved_model
from maskbeam.pipeline.models.files.saved_model_graph import read_signature

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a model: its name, its shape with the batch first (None where free), its dtype."""

    name: str
    shape: Shape
    dtype: str


@dataclass(frozen=True)
class ModelFacts:
    """Evidence from a model's configuration, complete for Functional and Sequential models, empty for others.

    Attributes:
        inputs: What the model takes.
        preprocessing: What is reached straight from the input and prepares it, in order, such as
            `Rescaling(scale=0.00784, offset=-1)`.
        scales_input: Whether any of it changes the scale of the values.
        chain: The layers behind `preprocessing`, each fed by the one before where they are in a row.
        activations: For each output the function that it ends in (`softmax`, `sigmoid`, `linear`, `argmax`...),
            None where that cannot be told.
        data_format: `channels_last` or `channels_first` where the layers agree, else None.
    """

    inputs: tuple[TensorSpec, ...] = ()
    preprocessing: tuple[str, ...] = ()
    scales_input: bool = False
    chain: tuple[Layer, ...] = ()
    activations: tuple[str | None, ...] = ()
    data_format: str | None = None

    @property
    def scaling(self) -> Scaling | None:
        """The scaling that the model does before anything else, as far as its configuration tells."""
        return find_scaling(self.chain) if self.scales_input else None

    @property
    def plane_pixels(self) -> int | None:
        """Of the planes that the model takes; None where their size is free or not known."""
        sides = [side for side in self.inputs[0].shape[1:] if side] if self.inputs else []
        # Which of the three are channels is not always known, but they are the fewest.
        return prod(sorted(sides)[1:]) if len(sides) == 3 else None


_SCALING = {"rescaling", "normalization"}
_NEUTRAL = {
    "resizing",
    "centercrop",
    "cropping2d",
    "zeropadding2d",
    "cast",
    "identity",
    "getitem",
    "strided_slice",
    "stridedslice",
    "resize",
    "reverse",
    "reversev2",
    "flip",
    "resizebilinear",
}
_PASSES_AT_INFERENCE = {"dropout", "spatialdropout2d", "gaussiannoise", "gaussiandropout"}
# What may follow the last activation without changing what its values mean.
_KEEPS_MEANING = {
    "reshape", "permute", "transpose", "resizing", "resize", "upsampling2d", "identity", "cast", "squeeze", "getitem",
    "strided_slice", "cropping2d", "expand_dims", "flatten", "dropout", "resize_images", "expanddims", "stridedslice",
    "resizebilinear", "resizenearestneighbor",
}  # fmt: skip
_ACTIVATIONS = {"softmax", "sigmoid", "argmax", "relu", "tanh", "leakyrelu", "prelu", "elu", "log_softmax"}
# Operations of TensorFlow's own graphs after which the values are plain logits.
_LINEAR = {"biasadd", "conv2d", "conv2dbackpropinput"}
_SHOWN = ("scale", "offset", "mean", "variance", "height", "width", "image_size", "axis")


def file_facts(file: ModelFile) -> ModelFacts:
    """Reads the evidence from a model's configuration, and from a SavedModel's graph."""
    described = model_facts(file.config)
    if file.kind != "saved_model":
        return described
    served = _graph_facts(read_signature(read_saved_model(file.path, file.uri)))
    # Outputs are named by the signature; layers, where Keras described them, say more than operations.
    return replace(described if described.inputs else served, activations=served.activations)


def model_facts(config: Config) -> ModelFacts:
    """Reads the evidence from a model's configuration; a configuration that is not understood tells nothing."""
    try:
        converter = _image_converter(config)
        return _keras_hub_facts(config, converter) if converter else _graph_facts(read_graph(config))
    except (KeyError, TypeError, AttributeError, ValueError):
        return ModelFacts()


def _graph_facts(graph: Graph) -> ModelFacts:
    chain = _preprocessing(graph)
    return ModelFacts(
        inputs=tuple(_input_spec(graph.layers[key]) for key in graph.inputs),
        preprocessing=tuple(_describe(layer) for layer in chain if layer.operation != "identity"),
        scales_input=any(layer.operation in _SCALING | ARITHMETIC.keys() for layer in chain),
        chain=tuple(chain),
        activations=tuple(_activation(graph, key) for key in graph.outputs),
        data_format=_data_format(graph),
    )


def _input_spec(layer: Layer) -> TensorSpec:
    shape = layer.config.get("batch_shape") or layer.config.get("batch_input_shape") or ()
    return TensorSpec(
        str(layer.config.get("name", layer.key)), _sides(shape), str(layer.config.get("dtype", "float32"))
    )


def _sides(shape: Any) -> Shape:
    if not all(side is None or type(side) is int for side in shape):
        raise TypeError(f"{shape!r} is no shape")
    return tuple(shape)


def _preprocessing(graph: Graph) -> list[Layer]:
    """Walks from the input while everything that a tensor feeds is preprocessing."""
    if len(graph.inputs) != 1:
        return []
    consumers, chain, frontier, seen = graph.consumers(), [], list(graph.inputs), set(graph.inputs)
    while frontier:
        fed = [layer for key in frontier for layer in consumers.get(key, []) if layer.key not in seen]
        if not all(_prepares(layer) for layer in fed):
            break
        chain += fed
        frontier = [layer.key for layer in fed]
        seen.update(frontier)
    return [layer for layer in chain if not _is_augmentation(layer)]


def _prepares(layer: Layer) -> bool:
    one_tensor = len(set(layer.inputs)) == 1
    return one_tensor and (layer.operation in _SCALING | ARITHMETIC.keys() | _NEUTRAL or _is_augmentation(layer))


def _is_augmentation(layer: Layer) -> bool:
    return layer.class_name.startswith("Random") or layer.operation in _PASSES_AT_INFERENCE


def _describe(layer: Layer) -> str:
    name = f"tf.{layer.config.get('function')}" if layer.class_name == "TFOpLambda" else layer.class_name
    known = {key: layer.config[key] for key in _SHOWN if key in layer.config} | layer.arguments
    shown = {key: value for key, value in known.items() if _is_shown(key, value)}
    texts = (_short(value) if key.isdigit() else f"{key}={_short(value)}" for key, value in shown.items())
    return f"{name}({', '.join(texts)})"


def _is_shown(key: str, value: object) -> bool:
    return isinstance(value, (int, float, str, list)) and not isinstance(value, bool) and key != "name"


def _short(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_short(item) for item in value[:8]) + (", ...]" if len(value) > 8 else "]")
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _activation(graph: Graph, key: str) -> str | None:
    seen: set[str] = set()
    while key in graph.layers and key not in seen:
        seen.add(key)
        layer = graph.layers[key]
        own = _own_activation(layer)
        if own is not None:
            return own
        if len(set(layer.inputs)) != 1 or layer.operation not in _KEEPS_MEANING | {"activation"}:
            return None
        key = layer.inputs[0]
    return None


def _own_activation(layer: Layer) -> str | None:
    """The function that a layer ends in; None for one that has none of its own."""
    if layer.operation in _ACTIVATIONS:
        return layer.operation
    named = layer.config.get("activation", "linear" if layer.operation in _LINEAR else None)
    if isinstance(named, dict):
        named = named.get("config") if named.get("class_name") == "function" else named.get("class_name")
    if not isinstance(named, str) or (layer.operation == "activation" and named == "linear"):
        return None
    return named.lower()


def _data_format(graph: Graph) -> str | None:
    formats = {layer.config.get("data_format") for layer in graph.layers.values()} - {None}
    return str(formats.pop()) if len(formats) == 1 else None


def _image_converter(config: Config) -> Config | None:
    """The KerasHub layer that prepares images, kept inside the task that it belongs to."""
    for name in ("preprocessor", "image_converter"):
        inner = config.get("config")
        config = inner.get(name) or {} if isinstance(inner, dict) else {}
    return config if isinstance(config.get("config"), dict) else None


def _keras_hub_facts(config: Config, converter: Config) -> ModelFacts:
    layer = Layer("", str(converter.get("class_name")), converter["config"], ())
    size = converter["config"].get("image_size") or (None, None)
    activation = config["config"].get("activation")
    return ModelFacts(
        inputs=(TensorSpec("images", (None, *_sides(size), 3), "float32"),),
        preprocessing=(_describe(layer),),
        scales_input=True,
        activations=(activation if isinstance(activation, str) else "linear" if activation is None else None,),
    )
