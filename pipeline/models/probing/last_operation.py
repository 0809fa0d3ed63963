"""Tells which function a model's output ends in from TensorFlow's graph, where no layers tell it."""

from collections.abc import Iterable
from typing import Any

import tensorflow as tf

from maskbeam.pipeline.models.loading.loaded_model import LoadedModel

# Operations that leave the meaning of values as it is; the first input is the one that matters.
_PASSING = {
    "Identity", "IdentityN", "Reshape", "Transpose", "Squeeze", "ExpandDims", "Cast", "StopGradient", "StridedSlice",
    "ResizeBilinear", "ResizeNearestNeighbor", "EnsureShape", "PreventGradient", "Slice",
}  # fmt: skip
_CALLS = {"PartitionedCall", "StatefulPartitionedCall"}
_NAMES = {
    "Softmax": "softmax", "Sigmoid": "sigmoid", "ArgMax": "argmax", "LogSoftmax": "log_softmax", "Conv2D": "linear",
    "BiasAdd": "linear", "Conv2DBackpropInput": "linear", "MatMul": "linear", "Relu": "relu", "Relu6": "relu",
    "Tanh": "tanh", "Softsign": "softsign", "Softplus": "softplus", "Elu": "elu", "Selu": "selu",
    "LeakyRelu": "leakyrelu",
}  # fmt: skip


def last_operation(loaded: LoadedModel, index: int, size: tuple[int, int]) -> str | None:
    """The function that an output ends in.

    Args:
        loaded: The model.
        index: Of the output.
        size: Height and width to trace it for, where its own are free: some layers cannot be traced without.

    Returns:
        `softmax`, `sigmoid`, `argmax`, `linear`...; None if unknown.
    """
    taken = loaded.inputs[0]
    traced = _traced(loaded, taken.shape) or _traced(loaded, _sized(taken.shape, size))
    if traced is None:
        return None
    graph = traced.graph.as_graph_def()
    functions = {function.signature.name: function for function in graph.library.function}
    return _ending(traced.outputs[index].name, graph.node, functions)


def _traced(loaded: LoadedModel, shape: tuple[int | None, ...]) -> Any:
    try:
        function = tf.function(loaded.call, autograph=False)
        return function.get_concrete_function(tf.TensorSpec(shape, loaded.inputs[0].dtype))
    except Exception:
        # What a model raises when it is traced is its engine's to tell: here it only means that nothing is known.
        return None


def _sized(shape: tuple[int | None, ...], size: tuple[int, int]) -> tuple[int | None, ...]:
    sides = iter(size)
    return (shape[0], *(next(sides) if side is None else side for side in shape[1:]))


def _ending(reference: str, nodes: Iterable[Any], functions: dict[str, Any]) -> str | None:
    """Walks back from the tensor `node:0` of a graph, or `node:output:0` of a function, to what made its values."""
    by_name = {node.name: node for node in nodes}
    while True:
        name, *place = reference.split(":")
        node = by_name.get(name)
        if node is None:
            return None
        if node.op in _CALLS:
            function = functions[node.attr["f"].func.name]
            output = function.signature.output_arg[int(place[-1]) if place else 0].name
            return _ending(function.ret[output], function.node_def, functions)
        if node.op not in _PASSING:
            return _NAMES.get(node.op)
        reference = node.input[0]
