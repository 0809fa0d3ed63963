"""The operations that a SavedModel's serving signature runs on the image, as one flat graph.

Folders that Keras 3 exports describe no layers; their operations still tell how the image is scaled and what the
output ends in.
"""

from collections.abc import Callable
from graphlib import CycleError, TopologicalSorter
from typing import Any

import numpy as np

from maskbeam.pipeline.models.files.model_graph import Graph, Layer

_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
# They look at a tensor's shape and never at its values.
_SHAPES = ("Shape", "ShapeN", "Rank", "Size")
# Of TensorFlow's `types.proto`.
_TYPES = {
    1: "float32", 2: "float64", 3: "int32", 4: "uint8", 5: "int16", 6: "int8", 7: "string", 9: "int64",
    14: "bfloat16", 17: "uint16", 19: "float16", 22: "uint32", 23: "uint64",
}  # fmt: skip
# More values than channels have are no scaling of pixels.
_LARGEST_CONSTANT = 64
# What is computed of constants before they meet the image: a standard deviation of a variance, say.
_FOLDED: dict[str, Callable[..., Any]] = {
    "Identity": lambda x: x,
    "Cast": lambda x: x,
    "Reshape": lambda x, _: x,
    "Sqrt": np.sqrt,
    "Rsqrt": lambda x: 1 / np.sqrt(x),
    "Maximum": np.maximum,
}

Constants = dict[str, Any]


def read_signature(model: Any) -> Graph:
    """The graph from the image to each output; empty where there is no plain signature of one input.

    Args:
        model: A parsed `saved_model.pb`.
    """
    meta = model.meta_graphs[0]
    served = meta.signatures.get("serving_default")
    if served is None or len(served.inputs) != 1:
        return Graph()
    graph = Graph()
    functions = {function.signature.name: function for function in meta.graph.library.functions}
    (taken,) = served.inputs.values()
    image = _name(taken.name)
    graph.inputs.append(image)
    graph.layers[image] = Layer(image, "InputLayer", {"dtype": _TYPES.get(taken.dtype, "float32")}, ())
    try:
        produced = _add_nodes(graph, functions, meta.graph.nodes, {image: [image]}, {}, "")
        # By name, as the loader orders them.
        graph.outputs = [_pick(produced, tensor.name) or "" for _, tensor in sorted(served.outputs.items())]
    except (CycleError, RecursionError, KeyError, IndexError):
        return Graph()
    return graph


def _name(tensor: str) -> str:
    return tensor.partition(":")[0]


def _pick(produced: dict[str, list[str | None]], tensor: str) -> str | None:
    """The key of the layer behind `node:0` or `node:output:0`; None where the image does not reach it."""
    keys, index = produced.get(_name(tensor), []), tensor.rpartition(":")[2]
    position = int(index) if index.isdigit() else 0
    return keys[position] if position < len(keys) else None


def _add_nodes(
    graph: Graph,
    functions: dict[str, Any],
    nodes: Any,
    given: dict[str, list[str | None]],
    known: Constants,
    path: str,
) -> dict[str, list[str | None]]:
    """Adds the nodes that the image reaches; returns for each node's name the keys of its outputs."""
    by_name = {node.name: node for node in nodes}
    produced, constants = dict(given), dict(known)
    order = TopologicalSorter({name: [_name(i) for i in node.inputs] for name, node in by_name.items()})
    for name in order.static_order():
        if name not in by_name or name in produced:
            continue
        tensors = [tensor for tensor in by_name[name].inputs if not tensor.startswith("^")]
        sources = [_pick(produced, tensor) for tensor in tensors]
        operands = [constants.get(_name(tensor)) for tensor in tensors]
        if any(sources):
            produced[name] = _add_node(graph, functions, by_name[name], sources, operands, path)
        elif (value := _constant(by_name[name], operands)) is not None:
            constants[name] = value
    return produced


def _constant(node: Any, operands: list[Any]) -> Any:
    """The value of a node that no image reaches, float64 of any shape; None where that is not known."""
    if node.op == "Const":
        return _held(node.attrs["value"].tensor)
    fold = _FOLDED.get(node.op)
    if fold is None or not operands or operands[0] is None or (node.op == "Maximum" and operands[1] is None):
        return None
    with np.errstate(all="ignore"):
        return fold(*operands)


def _held(tensor: Any) -> Any:
    dtype = _TYPES.get(tensor.dtype, "string")
    if dtype in ("string", "bfloat16"):
        return None
    values = tensor.floats or tensor.doubles or tensor.ints or np.frombuffer(tensor.content, dtype)
    return np.asarray(values, np.float64) if 0 < len(values) <= _LARGEST_CONSTANT else None


def _add_node(
    graph: Graph, functions: dict[str, Any], node: Any, sources: list[str | None], operands: list[Any], path: str
) -> list[str | None]:
    called = functions.get(node.attrs["f"].function.name) if "f" in node.attrs else None
    if node.op in _CALLS and called is not None:
        arguments = [argument.name for argument in called.signature.inputs]
        given = {name: [key] for name, key in zip(arguments, sources, strict=False)}
        known = {name: value for name, value in zip(arguments, operands, strict=False) if value is not None}
        produced = _add_nodes(graph, functions, called.nodes, given, known, f"{path}{node.name}/")
        return [_pick(produced, called.returned[output.name]) for output in called.signature.outputs]
    if node.op in _SHAPES:
        return []
    key = path + node.name
    images = tuple(source for source in sources if source)
    held = {at: _listed(value) for at, value in zip("xy", operands, strict=False) if value is not None}
    graph.layers[key] = Layer(key, node.op, {}, images, {"0": node.name, **held})
    return [key] * 8  # Operations with more outputs than that do not lie on an image's way.


def _listed(value: Any) -> Any:
    values = value.reshape(-1).tolist()
    return values[0] if len(values) == 1 else values
