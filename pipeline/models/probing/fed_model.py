"""Runs a model as it was loaded, without compiling it: for finding out about it, not for speed."""

import os
from dataclasses import dataclass, replace

import numpy as np

from maskbeam.pipeline.models.loading.loaded_model import LoadedModel
from maskbeam.pipeline.models.loading.model_errors import model_failure, reason_of
from maskbeam.pipeline.models.loading.tensorflow_start import start_tensorflow
from maskbeam.pipeline.models.probing.find_head import Output, choose_output
from maskbeam.pipeline.models.probing.find_input import InputFacts
from maskbeam.pipeline.models.probing.find_layout import is_map, why_no_map
from maskbeam.pipeline.process.watchdog import step
from maskbeam.transforms.elements import Array
from maskbeam.transforms.errors import RunError
from maskbeam.transforms.normalize import Normalization, normalize

# Three arrays of float64 are alive at once while a value is drawn.
_BYTES_DRAWN = 24


@dataclass(frozen=True, eq=False)
class FedModel:
    """A model with a way to feed it."""

    loaded: LoadedModel
    facts: InputFacts
    normalization: Normalization
    channel_order: str = "rgb"

    def __call__(self, planes: Array) -> list[Output]:
        """The model's outputs for planes `[N, h, w, C]` on a scale of 0..255.

        Raises:
            RunError: The model failed; whatever it raises is its own fault.
        """
        batch = self._batch(planes)
        try:
            return self._outputs(batch)
        except Exception as error:
            raise model_failure(error) from error

    def _batch(self, planes: Array) -> Array:
        if self.facts.batch is not None:
            planes = np.resize(planes, (self.facts.batch, *planes.shape[1:]))
        batch = normalize(planes.astype(np.float32), self.normalization, self.channel_order)
        if self.facts.channels_first:
            batch = batch.transpose(0, 3, 1, 2)
        typed: Array = batch.astype(self.loaded.inputs[0].dtype)
        return typed

    def _outputs(self, batch: Array) -> list[Output]:
        tensor = start_tensorflow().constant(batch)
        with step("tried out"):
            results = self.loaded.call(tensor)
        activations = self.loaded.activations or (None,) * len(results)
        named = zip(self.loaded.outputs, results, activations, strict=True)
        return [Output(spec.name, np.asarray(result), activation) for spec, result, activation in named]

    def read(self, planes: Array, output_name: str | None) -> list[Output]:
        """The same, with the function that the named output ends in, as far as that can be told.

        Raises:
            RunError: The model failed, or the output must be named.
        """
        outputs = self(planes)
        chosen = outputs.index(choose_output(outputs, output_name))
        if outputs[chosen].activation is None:
            from maskbeam.pipeline.models.probing.last_operation import last_operation

            outputs[chosen] = replace(
                outputs[chosen], activation=last_operation(self.loaded, chosen, planes.shape[1:3])
            )
        return outputs

    def misfit(self, height: int, width: int, output_name: str | None) -> str:
        """Why the model does not work at this size; "" when it gives a map that such planes shrink to exactly."""
        height, width = self.facts.height or height, self.facts.width or width
        batch = self._batch(synthetic_planes(1, height, width, self.facts.channels))
        try:
            outputs = self._outputs(batch)
        except Exception as error:
            # Nothing narrower would do. TensorFlow raises `InvalidArgumentError` and Keras `ValueError`, but a layer
            # of somebody's own raises what it likes, `AssertionError` say, and Keras hands that class on.
            return reason_of(error)
        shape = choose_output(outputs, output_name).values.shape
        if is_map(shape, height, width):
            return ""
        return f"its output is {list(shape)}: {why_no_map(shape, height, width, sized=False)}"


def synthetic_planes(count: int, height: int, width: int, channels: int) -> Array:
    """Seeded float32 planes `[N, h, w, C]` of 0..255: flat blocks with noise over them, edges of every contrast.

    Raises:
        RunError: This machine has no memory for them.
    """
    needed = _BYTES_DRAWN * count * height * width * channels
    if needed > os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"):
        raise RunError(
            f"The model takes planes of {height} x {width} pixels and {channels} channels: to try {count} needs "
            f"{needed / 1e9:,.0f} GB of memory, more than there is. Export the model with a smaller input, or say a "
            "smaller --tile_size if its size is free."
        )
    random = np.random.default_rng(0)
    blocks = random.uniform(0, 255, (count, -(-height // 16), -(-width // 16), channels))
    planes = blocks.repeat(16, axis=1).repeat(16, axis=2)[:, :height, :width]
    return np.clip(planes + random.normal(0, 15, planes.shape), 0, 255).astype(np.float32)
