"""What all engines share: batches of a measured size, cut to what fits into memory and padded to few shapes."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from pipeline.models.probe import Probe
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


class BatchedEngine(ABC):
    """An engine for any number of planes up to `batch_size`.

    Short batches are padded to the next power of two, so that few shapes are ever seen, yet a batch that was halved
    for lack of memory needs half of it. A single plane is padded too: oneDNN computes a batch of one another way,
    whose last bits differ, and a mask must not depend on which images it came with.
    """

    largest_batch = LARGEST_BATCH

    def __init__(self, probe: Probe, *, only: int | None, batch_size: int = 0) -> None:
        """Sets the size of batches.

        Args:
            probe: How the model is fed and read.
            only: The one size that the model was exported for, or None.
            batch_size: Images to take at once; when 0, what the probe measured, if anything.
        """
        self.only = only
        self.batch_size = only or batch_size or probe.batch_size or self.largest_batch
        self._bytes_per_pixel = BYTES_PER_PIXEL + 16 * probe.head.channels

    def __call__(self, planes: Array) -> Scores:
        step = min(self.batch_size, self._fitting(planes))
        parts = [self._scores(planes[i : i + step], min(2, step)) for i in range(0, len(planes), step)]
        return parts[0] if len(parts) == 1 else Scores(*map(np.concatenate, zip(*parts, strict=True)))

    def _fitting(self, planes: Array) -> int:
        pixels: int = planes.shape[1] * planes.shape[2]
        return max(1, CALL_BYTES // (pixels * self._bytes_per_pixel))

    def _scores(self, planes: Array, smallest: int) -> Scores:
        count = len(planes)
        ending, sureness, nonfinite = self.run(pad(planes, self.only, smallest=smallest))
        rows = sureness[:count].sum(axis=1, dtype=np.int64)
        return Scores(ending[:count], rows, nonfinite[:count].astype(np.int64))

    @abstractmethod
    def run(self, planes: Array) -> tuple[Array, Array, Array]:
        """Runs the compiled graph of `make_scoring`.

        Raises:
            MemoryError: There is no room for this many planes.
        """


def pad(planes: Array, count: int | None = None, *, smallest: int = 1) -> Array:
    """Repeats the last plane until there are `count`, or else a power of two of at least `smallest`."""
    missing = (count or max(smallest, 1 << (len(planes) - 1).bit_length())) - len(planes)
    return np.concatenate([planes, planes[-1:].repeat(missing, axis=0)]) if missing else planes


def warm_up(engine: BatchedEngine, probe: Probe) -> Probe:
    """Calls an engine for the first time, and sets its batch size.

    Returns:
        The probe with the batch size, measured now where it was not known.

    Raises:
        RunError: The model does not fit into memory.
    """
    plane = synthetic_planes(1, *probe.plane_size, probe.spec.channels)
    known = engine.only or probe.batch_size
    try:
        if known:
            engine(plane)
            return replace(probe, batch_size=known)
        size, rate = choose_batch_size(engine, plane, largest=engine.largest_batch)
    except MemoryError as error:
        raise RunError(f"The model does not fit into this machine's memory: {error}.") from error
    engine.batch_size = size
    return replace(probe, batch_size=size, rate=rate)


def choose_batch_size(
    engine: Callable[[Array], Any],
    plane: Array,
    *,
    largest: int = LARGEST_BATCH,
    seconds: float = 1.0,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[int, float]:
    """Finds the smallest batch at which an engine is about as fast as it gets.

    Doubles the batch until the time is used up, or the memory.

    Args:
        engine: Takes planes.
        plane: `[1, h, w, C]`, one plane to repeat.
        largest: Batch to try.
        seconds: Time to spend, besides the calls that compile.
        clock: Seconds, for tests.

    Returns:
        The number of images, and images per second at it.
    """
    rates: dict[int, float] = {}
    size, end = 1, clock() + seconds
    engine(plane)
    while size <= largest:
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
