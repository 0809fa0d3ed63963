"""The model as the job calls it: compiled once, in batches of a measured size."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import numpy as np
import tensorflow as tf

from pipeline.models.keras_model import LoadedModel
from pipeline.models.probe import Probe
from pipeline.models.scoring import make_scoring
from pipeline.models.trial import synthetic_planes
from transforms.elements import Array
from transforms.errors import RunError
from transforms.predict import Scores

LARGEST_BATCH = 32
# A batch whose rate is within this share of the best one's is as good, and holds less memory.
GOOD_ENOUGH = 0.95
# Memory that one call may take, and what a pixel of the input plane takes in it: about four maps of 64 float channels
# at full size are alive at once in a U-Net. An estimate, and only to keep large planes from filling the memory.
CALL_BYTES = 2 << 30
BYTES_PER_PIXEL = 1024


class KerasEngine:
    """A model compiled by TensorFlow for any number of planes up to `batch_size`.

    Short batches are padded to the next power of two, so that few shapes are ever seen, yet a batch that was halved
    for lack of memory needs half of it. A single plane is padded too: oneDNN computes a batch of one another way,
    whose last bits differ, and a mask must not depend on which images it came with.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        probe: Probe,
        *,
        end: str,
        threshold: float = 0.5,
        mixed_precision: bool = False,
        batch_size: int = 0,
    ) -> None:
        """Compiles nothing yet: the first call does.

        Args:
            loaded: The model.
            probe: How it is fed and read.
            end: `logits` or `labels`, see `make_scoring`.
            threshold: Probability above which a sigmoid's second class is there.
            mixed_precision: Whether a GPU may compute in float16.
            batch_size: Images to take at once; when 0, what the probe measured, if anything.
        """
        if mixed_precision:
            tf.config.optimizer.set_experimental_options({"auto_mixed_precision": True})
        # A SavedModel may have been exported for one size of batch only.
        self._only = loaded.inputs[0].shape[0]
        self.batch_size = self._only or batch_size or probe.batch_size or LARGEST_BATCH
        spec = probe.spec
        self._signature = (self._only, spec.height, spec.width, spec.channels)
        self._bytes_per_pixel = BYTES_PER_PIXEL + 16 * probe.head.channels
        self._score = make_scoring(loaded, probe, end=end, threshold=threshold)
        self._compiled: dict[tuple[str, tuple[int | None, ...]], Callable[[Any], Any] | None] = {}

    def __call__(self, planes: Array) -> Scores:
        if planes.dtype != np.uint8:
            planes = planes.astype(np.float32, copy=False)
        step = min(self.batch_size, self._fitting(planes))
        parts = [self._run(planes[i : i + step], min(2, step)) for i in range(0, len(planes), step)]
        return parts[0] if len(parts) == 1 else Scores(*map(np.concatenate, zip(*parts, strict=True)))

    def _fitting(self, planes: Array) -> int:
        pixels: int = planes.shape[1] * planes.shape[2]
        return max(1, CALL_BYTES // (pixels * self._bytes_per_pixel))

    def _run(self, planes: Array, smallest: int) -> Scores:
        count = len(planes)
        compiled = self._function(planes)
        try:
            results = compiled(tf.constant(pad(planes, self._only, smallest=smallest)))
            return Scores(*(result.numpy()[:count] for result in results))
        except tf.errors.ResourceExhaustedError as error:
            raise MemoryError(f"the model has no room for {count} planes of {planes.shape[1:]}") from error

    def _function(self, planes: Array) -> Callable[[Any], Any]:
        """The compiled function for planes of this type, and this size where one for all does not compile."""
        dtype, sides = planes.dtype.name, planes.shape[1:3]
        for signature in (self._signature, (self._only, *sides, planes.shape[3])):
            if (dtype, signature) not in self._compiled:
                self._compiled[dtype, signature] = self._compile(dtype, signature)
            compiled = self._compiled[dtype, signature]
            if compiled is not None:
                return compiled
        raise RunError(f"The model does not compile for images of {sides[0]} x {sides[1]} pixels.")

    def _compile(self, dtype: str, signature: tuple[int | None, ...]) -> Callable[[Any], Any] | None:
        function = tf.function(self._score, autograph=False)
        try:
            return cast("Callable[[Any], Any]", function.get_concrete_function(tf.TensorSpec(signature, dtype)))
        except Exception:
            # Some layers (Keras's bilinear UpSampling2D for one) cannot be traced for sizes that are not known yet.
            if None not in signature[1:]:
                raise
            return None


def pad(planes: Array, count: int | None = None, *, smallest: int = 1) -> Array:
    """Repeats the last plane until there are `count`, or else a power of two of at least `smallest`."""
    missing = (count or max(smallest, 1 << (len(planes) - 1).bit_length())) - len(planes)
    return np.concatenate([planes, planes[-1:].repeat(missing, axis=0)]) if missing else planes


def start_engine(
    loaded: LoadedModel, probe: Probe, *, end: str, threshold: float = 0.5, mixed_precision: bool = False
) -> tuple[KerasEngine, Probe]:
    """Compiles and warms up an engine.

    Returns:
        The engine, and the probe with its batch size, measured now where it was not known.

    Raises:
        RunError: A model of this size does not fit into memory.
    """
    engine = KerasEngine(loaded, probe, end=end, threshold=threshold, mixed_precision=mixed_precision)
    plane = synthetic_planes(1, *probe.plane_size, probe.spec.channels)
    known = probe.batch_size or loaded.inputs[0].shape[0]
    try:
        if known:
            engine(plane)
            return engine, replace(probe, batch_size=known)
        size, rate = choose_batch_size(engine, plane)
    except MemoryError as error:
        raise RunError(f"The model does not fit into this machine's memory: {error}.") from error
    engine.batch_size = size
    return engine, replace(probe, batch_size=size, rate=rate)


def choose_batch_size(
    engine: Callable[[Array], Any],
    plane: Array,
    *,
    seconds: float = 1.0,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[int, float]:
    """Finds the smallest batch at which an engine is about as fast as it gets.

    Doubles the batch until the time is used up, or the memory.

    Args:
        engine: Takes planes.
        plane: `[1, h, w, C]`, one plane to repeat.
        seconds: Time to spend, besides the calls that compile.
        clock: Seconds, for tests.

    Returns:
        The number of images, and images per second at it.
    """
    rates: dict[int, float] = {}
    size, end = 1, clock() + seconds
    engine(plane)
    while size <= LARGEST_BATCH:
        try:
            rates[size] = _rate(engine, plane.repeat(size, axis=0), clock)
        except MemoryError:
            if size == 1:
                raise
            break
        # The next size takes twice as long, twice.
        if clock() + 4 * size / rates[size] > end:
            break
        size *= 2
    best = max(rates.values())
    return next((size, rate) for size, rate in rates.items() if rate >= GOOD_ENOUGH * best)


def _rate(engine: Callable[[Array], Any], planes: Array, clock: Callable[[], float]) -> float:
    """Images per second, from the second of two calls: the first one sets up memory and kernels for the shape."""
    engine(planes)
    start = clock()
    engine(planes)
    return len(planes) / max(clock() - start, 1e-9)
