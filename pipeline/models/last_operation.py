"""Tells which function a model's output ends in from TensorFlow's graph, where no layers tell it."""

from collections.abc import Iterable
from typing import Any

import tensorflow as tf

from pipeline.models.keras_model import LoadedModel

# Operations that leave the meaning of values as it is; the first input is the one that matters.
_PASSING = {
    "Identity", "IdentityN", "Reshape", "Transpose", "Squeeze", "ExpandDims", "Cast", "StopGradient", "StridedSlice",
    "ResizeBilinear", "ResizeNearestNeighbor", "EnsureShape", "PreventGradient", "Slice",
}  # fmt: skip
_CALLS = {"PartitionedCall", "StatefulPartitionedCall"}
_NAMES = {
    "Softmax": "softmax", "Sigmoid": "sigmoid", "ArgMax": "argmax", "LogSoftmax": "log_softmax", "Conv2D": "linear",
    "BiasAdd": "linear", "Conv2DBackpropInput": "linear", "MatMul": "linear", "Relu": "relu", "Relu6": "relu",
    "Tanh": "tanh",
}  # fmt: skip


def last_operation(loaded: LoadedModel, index: int) -> str | None:
    """The function that output `index` ends in: `softmax`, `sigmoid`, `argmax`, `linear`...; None if unknown."""
    taken = loaded.inputs[0]
    traced = tf.function(loaded.call, autograph=False).get_concrete_function(tf.TensorSpec(taken.shape, taken.dtype))
    graph = traced.graph.as_graph_def()
    functions = {function.signature.name: function for function in graph.library.function}
    return _ending(traced.outputs[index].name, graph.node, functions)


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
