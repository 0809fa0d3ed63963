"""Bounds on what a Keras model takes to build and to run, so that a small file cannot end the machine.

A configuration of a few bytes can ask for any amount of memory. What a whole model needs is in its file: its weights.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import prod
from typing import Any

from pipeline.models.model_file import ModelFile
from transforms.errors import RunError

# Values beyond those in the file: what layers keep for themselves and do not save.
FREE_VALUES = 16 << 20
_FLOAT_BYTES = 4


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
                f"--model {uri}: refused, its layer {name!r} gives {list(shape[1:])} values for each image, "
                f"{values * _FLOAT_BYTES:,} bytes, and this machine has {most:,}. Export it for smaller images."
            )


def _tensors(model: Any) -> Iterator[tuple[str, tuple[int | None, ...]]]:
    """The names of a Functional model's layers and the shapes of what they give, nested models included."""
    for nodes in getattr(model, "_nodes_by_depth", {}).values():
        for node in nodes:
            layer = getattr(node, "operation", None) or node.layer  # Keras 3 and Keras 2.
            yield from _tensors(layer)
            given = node.outputs if isinstance(node.outputs, list | tuple) else [node.outputs]
            yield from ((layer.name, tuple(tensor.shape)) for tensor in given if getattr(tensor, "shape", None))
