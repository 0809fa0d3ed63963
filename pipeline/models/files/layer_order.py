"""The order in which a model's layers can be called; Keras 2 waits for ever for one that feeds itself."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from maskbeam.pipeline.models.files.model_file import ModelFile
from maskbeam.pipeline.models.files.model_graph import node_references
from maskbeam.transforms.errors import RunError

Config = dict[str, Any]


def check_order(file: ModelFile, *, trust: bool) -> None:
    """Refuses a model of which a layer, at any depth, waits for what is never computed.

    Raises:
        RunError: Names up to three of them.
    """
    if file.kind == "saved_model":
        return
    # Keras 3 ends by itself; classes of somebody's own may be models that do not look like one.
    known = file.framework == "tf_keras" and not trust
    for model in _functional_models(file.config):
        try:
            stuck = never_called(model["layers"], known=known)
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise RunError(
                f"--model {file.uri}: refused, its configuration does not connect its layers as Keras writes it "
                f"({type(error).__name__}); save the model again."
            ) from error
        if stuck:
            names = ", ".join(repr(name) for name in stuck[:3])
            raise RunError(
                f"--model {file.uri}: refused, its layers wait for each other in a circle, or for what no layer "
                f"gives: {names}. Keras writes no such file; save the model again."
            )


def _functional_models(config: Any) -> Iterator[Config]:
    waiting = [config]
    while waiting:
        held = waiting.pop()
        if isinstance(held, dict):
            if isinstance(held.get("layers"), list) and "output_layers" in held:
                yield held
            waiting += held.values()
        elif isinstance(held, list):
            waiting += held


def never_called(layers: list[Any], *, known: bool = True) -> list[str]:
    """The names of layers with a call whose input no other call, made before, can give.

    Args:
        layers: As a Functional model of Keras 2 or 3 describes them. A layer's calls are made in their order.
        known: Whether what has no layers is a layer; else it may be a model.
    """
    own, calls = dict[str, int](), defaultdict[str, list[list[tuple[str, int]]]](list)
    for layer in filter(_is_layer, layers):
        own[_name(layer)] = _own_calls(layer, known=known)
        calls[_name(layer)] += _calls(layer)
    made, ready, waiting = Counter[str](), list(calls), defaultdict[str, list[str]](list)

    def is_made(name: str, node: int) -> bool:
        return own[name] < 0 or 0 < made[name] > node - own[name]

    while ready:
        name = ready.pop()
        while made[name] < len(calls[name]):
            missing = next((f for f, node in calls[name][made[name]] if f in own and not is_made(f, node)), None)
            if missing is not None:
                waiting[missing].append(name)
                break
            made[name] += 1
            ready += waiting.pop(name, [])
    return [name for name in own if made[name] < len(calls[name])]


def _is_layer(layer: Any) -> bool:
    return isinstance(layer, dict) and isinstance(layer.get("config"), dict)


def _name(layer: Config) -> str:
    return str(layer.get("name") or layer["config"].get("name"))


def _calls(layer: Config) -> list[list[tuple[str, int]]]:
    nodes = layer.get("inbound_nodes")
    return [[(name, node) for name, node, _ in node_references(call)] for call in nodes] if nodes else []


def _own_calls(layer: Config, *, known: bool) -> int:
    """How many calls count before the first of a layer: that which made a model inside another. -1 for an input."""
    if layer.get("class_name") == "InputLayer":
        return -1
    return 0 if known and "layers" not in layer["config"] else 1
