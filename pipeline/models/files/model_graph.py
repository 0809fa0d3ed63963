"""The layers of a model, as its configuration tells them, read without loading the model.

Keras 2 and Keras 3 write the connections between layers differently; both become one flat graph here, with nested
models resolved. All of it is evidence and no reason to stop: a configuration that is not understood tells nothing.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

Config = dict[str, Any]


@dataclass(frozen=True)
class Layer:
    """One layer of the flat graph; `inputs` are keys of the layers that feed it, `arguments` its constants."""

    key: str
    class_name: str
    config: Config
    inputs: tuple[str, ...]
    arguments: Config = field(default_factory=dict)

    @property
    def operation(self) -> str:
        """The layer's operation, one name for all ways to write it: `softmax` for `Softmax` and `tf.nn.softmax`."""
        if self.class_name in ("TFOpLambda", "SlicingOpLambda"):
            return str(self.config.get("function", "")).rpartition(".")[2].lower()
        return self.class_name.rpartition(">")[2].lower()


@dataclass
class Graph:
    """A model's layers in the order of their calls, with the keys of its inputs and outputs."""

    layers: dict[str, Layer] = field(default_factory=dict)
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)

    def consumers(self) -> dict[str, list[Layer]]:
        """For each layer's key the layers that it feeds."""
        found: dict[str, list[Layer]] = defaultdict(list)
        for layer in self.layers.values():
            for key in dict.fromkeys(layer.inputs):
                found[key].append(layer)
        return found


def read_graph(config: Config) -> Graph:
    """The flat graph of a Functional or Sequential model; empty for other models and for what is not understood."""
    graph = Graph()
    try:
        if _is_model(config):
            graph.outputs = _add_model(graph, config, "", [])
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, RecursionError):
        return Graph()
    return graph


def _is_model(config: Config) -> bool:
    return isinstance(config.get("config"), dict) and isinstance(config["config"].get("layers"), list)


def _add_model(graph: Graph, model: Config, path: str, feeds: list[str]) -> list[str]:
    if "output_layers" in model["config"]:
        return _add_functional(graph, model["config"], path, feeds)
    return _add_sequential(graph, model["config"], path, feeds)


def _add_sequential(graph: Graph, config: Config, path: str, feeds: list[str]) -> list[str]:
    current = list(feeds)
    for described in config["layers"]:
        if described["class_name"] == "InputLayer" and current:
            continue
        if not current and described["class_name"] != "InputLayer":
            current = _add_input(graph, described, path)
        current = _add_layer(graph, described, path, current, {})
    return current


def _add_input(graph: Graph, first: Config, path: str) -> list[str]:
    """Old Sequential models have no InputLayer; their first layer knows the shape."""
    shape = first["config"].get("batch_input_shape") or first.get("build_config", {}).get("input_shape")
    return _add_layer(graph, {"class_name": "InputLayer", "config": {"batch_shape": shape}}, path + "input/", [], {})


def _add_functional(graph: Graph, config: Config, path: str, feeds: list[str]) -> list[str]:
    produced: dict[str, list[str]] = {}
    fed = dict(zip((name for name, _ in _references(config["input_layers"])), feeds, strict=False))
    for described in config["layers"]:
        name = described.get("name") or described["config"]["name"]
        if name in fed:
            produced[name] = [fed[name]]
            continue
        sources = [_pick(produced, *reference) for reference in _references(described.get("inbound_nodes", []))]
        arguments = _arguments(described.get("inbound_nodes", []))
        produced[name] = _add_layer(graph, described, path, sources, arguments)
    return [_pick(produced, *reference) for reference in _references(config["output_layers"])]


def _pick(produced: dict[str, list[str]], name: str, index: int) -> str:
    tensors = produced[name]
    return tensors[index] if len(tensors) > 1 else tensors[0]


def _add_layer(graph: Graph, described: Config, path: str, sources: list[str], arguments: Config) -> list[str]:
    name = described.get("name") or described["config"].get("name") or str(len(graph.layers))
    key = path + name
    if _is_model(described):
        return _add_model(graph, described, f"{key}/", sources)
    graph.layers[key] = Layer(key, described["class_name"], described["config"], tuple(sources), arguments)
    if described["class_name"] == "InputLayer":
        graph.inputs.append(key)
    return [key]


def _references(value: Any) -> Iterator[tuple[str, int]]:
    """The (layer, tensor index) pairs in a list of connections."""
    return ((name, index) for name, _, index in node_references(value))


def node_references(value: Any) -> Iterator[tuple[str, int, int]]:
    """The (layer, number of its call, tensor index) in a list of connections.

    Keras 2 writes `[name, node, tensor, ...]`, Keras 3 `{"class_name": "__keras_tensor__", ...}`.
    """
    if isinstance(value, dict):
        if value.get("class_name") == "__keras_tensor__":
            name, node, index = value["config"]["keras_history"]
            yield str(name), int(node), int(index)
        else:
            for _, item in sorted(value.items()):  # Outputs given as a dictionary are ordered by their names.
                yield from node_references(item)
    elif isinstance(value, list):
        if _is_reference(value):
            yield value[0], value[1], value[2]
            value = value[3:]
        for item in value:
            yield from node_references(item)


def _is_reference(value: list[Any]) -> bool:
    return (
        len(value) >= 3
        and isinstance(value[0], str)
        and all(isinstance(item, int) for item in value[1:3])
        and value[1] >= 0  # Keras 2 marks constants by a node of -1.
    )


def _arguments(value: Any) -> Config:
    """The numbers, arrays and words that a layer was called with, by name or by position (`0`, `1`...)."""
    found: Config = {}
    if isinstance(value, dict):
        if str(value.get("class_name")).startswith("__"):  # a tensor, an array, a slice
            return found
        for name, item in [*value.items(), *enumerate(value.get("args", []))]:
            found.update({str(name): item} if _is_constant(item) else _arguments(item))
    elif isinstance(value, list):
        for item in value:
            found.update(_arguments(item))
    return found


def _is_constant(item: Any) -> bool:
    if isinstance(item, dict):
        return item.get("class_name") in ("__numpy__", "__tensor__")
    if isinstance(item, list):
        return bool(item) and all(isinstance(number, (int, float)) for number in item)
    return isinstance(item, (int, float, str))
