"""The fit of images, as they are scaled, to what a model's batch normalisation remembers of its training."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np

from maskbeam.transforms.elements import Array

# The last ones: an encoder is often taken over, frozen, from a training with another scaling.
LAYERS = 4


class BatchStatistics:
    """Watches the batch normalisation layers of a Keras model while it runs uncompiled.

    Each of them keeps the mean and variance that its input had in training. Images that are scaled as in training
    give about the same, others do not.
    """

    def __init__(self, model: Any) -> None:
        self._layers = [layer for layer in _flatten(model) if type(layer).__name__ == "BatchNormalization"]
        # In the order of their calls; a layer's moments are added up over calls.
        self._seen: dict[int, tuple[Any, Array]] = {}

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Collects what reaches the layers while the model runs within this context."""
        self._seen = {}
        with ExitStack() as stack:
            for layer in self._layers:
                stack.enter_context(self._watched(layer))
            yield

    @contextmanager
    def _watched(self, layer: Any) -> Iterator[None]:
        call = layer.call

        def spy(inputs: Any, *args: Any, **kwargs: Any) -> Any:
            _, before = self._seen.get(id(layer), (layer, 0))
            self._seen[id(layer)] = layer, before + _moments(np.asarray(inputs), _axis(layer))
            return call(inputs, *args, **kwargs)

        layer.call = spy
        try:
            yield
        finally:
            layer.call = call

    def mismatch(self) -> float | None:
        """The distance of the last layers' inputs from training, 0 for not at all; None where no layer was seen.

        The median over channels of the distance of means in training's standard deviations, plus the absolute
        logarithm of the ratio of standard deviations; averaged over layers.
        """
        distances = [_distance(layer, moments) for layer, moments in list(self._seen.values())[-LAYERS:]]
        return float(np.mean(distances)) if distances else None


def _flatten(model: Any) -> Iterator[Any]:
    layers = getattr(model, "layers", None)
    if layers is None:
        yield model
    else:
        for layer in layers:
            yield from _flatten(layer)


def _axis(layer: Any) -> int:
    return int(layer.axis if isinstance(layer.axis, int) else layer.axis[0])


def _moments(inputs: Array, axis: int) -> Array:
    """Count, sum and sum of squares of each channel, `[3, C]`."""
    values = np.moveaxis(inputs, axis, -1).reshape(-1, inputs.shape[axis]).astype(np.float64)
    return np.stack([np.full(values.shape[1], len(values)), values.sum(axis=0), (values**2).sum(axis=0)])


def _distance(layer: Any, moments: Array) -> float:
    count, total, squares = moments
    mean, variance = total / count, np.maximum(squares / count - (total / count) ** 2, 0)
    deviation = np.sqrt(np.asarray(layer.moving_variance) + layer.epsilon)
    off_mean = np.abs(mean - np.asarray(layer.moving_mean)) / deviation
    off_spread = np.abs(np.log(np.sqrt(variance + layer.epsilon) / deviation))
    return float(np.median(off_mean + off_spread))
