"""Bounds on what a Keras model takes to build and to run, so that a small file cannot end the machine.

A configuration of a few bytes can ask for any amount of memory. What a whole model needs is in its file: its weights.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from math import prod
from typing import Any

from maskbeam.pipeline.models.files.model_file import ModelFile
from maskbeam.transforms.errors import RunError

# Values beyond those in the file: what layers keep for themselves and do not save.
FREE_VALUES = 16 << 20
_FLOAT_BYTES = 4

Sides = tuple[int | None, ...]


@contextmanager
def bounded_weights(layer_class: Any, file: ModelFile) -> Iterator[None]:
    """Refuses to make more values for the layers of a model than its file holds, before they take memory.

    Args:
        layer_class: The `Layer` of the Keras that builds the model; every layer makes its weights by `add_weight`.
        file: The model; a byte is the least that a value takes.

    Raises:
        RunError: Names the layer that asks for too much.
    """
    make, refusals = layer_class.add_weight, list[RunError]()
    layer_class.add_weight = _counting(make, file, refusals)
    try:
        yield
    except Exception as error:
        # Keras makes an error of its own from what a layer raises.
        raise (refusals[0] if refusals else error) from error
    finally:
        layer_class.add_weight = make


def _counting(make: Callable[..., Any], file: ModelFile, refusals: list[RunError]) -> Callable[..., Any]:
    most, made = file.weights + FREE_VALUES, 0

    def add_weight(layer: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal made
        made += _values(args, kwargs)
        if made > most:
            refusals.append(
                RunError(
                    f"--model {file.uri}: refused, its layers up to {layer.name!r} need {made:,} weights, and the "
                    f"file holds {file.weights:,} bytes of them. Keras writes no such file; save the model again."
                )
            )
            raise refusals[0]
        return make(layer, *args, **kwargs)

    return add_weight


def _values(args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    # Keras 3 takes a shape first, Keras 2 a name.
    shape = kwargs.get("shape") or next((arg for arg in args if not isinstance(arg, str)), None) or ()
    return prod(int(side) for side in ([shape] if isinstance(shape, int) else shape))


def check_planes(model: Any, uri: str) -> None:
    """Refuses a model of which one tensor, for one image, does not fit into this machine's memory.

    Raises:
        RunError: Names the layer and the shape.
    """
    most = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for name, shape in _tensors(model):
        values = prod(side for side in shape[1:] if side)
        if values * _FLOAT_BYTES > most:
            raise RunError(
                f"--model {uri}: refused, its layer {name!r} needs {list(shape[1:])} values for each image, "
                f"{values * _FLOAT_BYTES:,} bytes, and this machine has {most:,}. Export it for smaller images."
            )


def _tensors(model: Any) -> Iterator[tuple[str, Sides]]:
    """The names of a model's layers and the shapes of what they compute, nested models included."""
    # A Sequential model of Keras 3 keeps a Functional one.
    graph = getattr(model, "_functional", None) or model
    for node in chain.from_iterable(getattr(graph, "_nodes_by_depth", {}).values()):
        layer = getattr(node, "operation", None) or node.layer  # Keras 3 and Keras 2.
        yield from _tensors(layer)
        yield from ((layer.name, shape) for shape in _shapes(node.outputs))
        yield from ((layer.name, padded(layer, shape)) for shape in _shapes(node.input_tensors) if len(shape) == 4)


def _shapes(tensors: Any) -> Iterator[Sides]:
    listed = tensors if isinstance(tensors, list | tuple) else [tensors]
    return (tuple(tensor.shape) for tensor in listed if getattr(tensor, "shape", None))


def padded(layer: Any, shape: Sides) -> Sides:
    """The shape `[N, H, W, C]` that a layer brings its input to, so that its window or its spread kernel fits."""
    first = getattr(layer, "data_format", None) == "channels_first"
    sides = list(shape)
    for axis, (window, step) in zip((2, 3) if first else (1, 2), _windows(layer), strict=False):
        # Kernels with gaps are applied to each of the `step` phases, all equally long.
        sides[axis] = -(-((sides[axis] or 1) + window - 1) // step) * step
    return tuple(sides)


def _windows(layer: Any) -> Iterator[tuple[int, int]]:
    """For each axis how far a layer sees, and the gaps of its kernel."""
    if sizes := _counts(layer, "pool_size"):
        return ((size, 1) for size in sizes)
    pairs = zip(_counts(layer, "kernel_size"), _counts(layer, "dilation_rate"), strict=False)
    return (((size - 1) * gap + 1, gap) for size, gap in pairs)


def _counts(layer: Any, name: str) -> tuple[int, ...]:
    """A setting with a whole number for each axis; layers of somebody's own may mean something else by its name."""
    found = getattr(layer, name, None)
    usual = isinstance(found, list | tuple) and all(isinstance(count, int) and count > 0 for count in found)
    return tuple(found) if usual and found else ()
