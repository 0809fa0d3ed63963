"""The base of all engines: batches that keep them busy, cut to what fits into memory and padded to few shapes."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from maskbeam.pipeline.models.loading.cores import BYTES_PER_PIXEL, CALL_BYTES, Sharing
from maskbeam.pipeline.models.loading.model_errors import model_failure
from maskbeam.pipeline.models.probing.fed_model import synthetic_planes
from maskbeam.pipeline.models.probing.probe import Probe, not_as_probed
from maskbeam.pipeline.process.watchdog import step
from maskbeam.transforms.elements import Array
from maskbeam.transforms.errors import RunError
from maskbeam.transforms.predict import Engine, Scores
from maskbeam.transforms.resampling.prepare import as_uint8

LARGEST_BATCH = 32
# Input pixels of a call that keeps every core busy: at 128 x 128 half as many cost 5% more CPU, and twice as many
# gained nothing; at 512 x 512 one plane is within 7% of two. Computed and not timed at start-up: a machine that was
# busy just then gave batches of one for a whole run, and the last bits can differ from batch size to batch size.
CALL_PIXELS = 1 << 18


class BatchedEngine(ABC):
    """An engine for any number of planes up to `batch_size`.

    Short batches are padded to the next power of two, so that few shapes are ever seen, yet a batch that was halved
    for lack of memory needs half of it. A single plane is padded too: oneDNN computes a batch of one another way,
    whose last bits differ, and a mask must not depend on which images it came with.
    """

    call_pixels = CALL_PIXELS

    def __init__(self, probe: Probe, sharing: Sharing, *, only: int | None, batch_size: int = 0) -> None:
        """Sets the size of batches.

        Args:
            probe: How the model is fed and read.
            sharing: How many calls run side by side.
            only: The one size that the model was exported for, or None.
            batch_size: Images to take at once; when 0, what the probe says, or what suits its planes.
        """
        self.callers = sharing.callers
        self.only = only
        self.batch_size = only or batch_size or probe.batch_size or self._suiting(*probe.plane_size)
        self._bytes_per_pixel = BYTES_PER_PIXEL + 16 * probe.head.channels
        self._room = Room(CALL_BYTES)

    def _suiting(self, height: int, width: int) -> int:
        # A power of two, because others are padded to the next one.
        planes = max(1, self.call_pixels // (height * width))
        return min(LARGEST_BATCH, 1 << (planes.bit_length() - 1))

    def __call__(self, planes: Array) -> Scores:
        plane_bytes = planes.shape[1] * planes.shape[2] * self._bytes_per_pixel
        most = min(self.batch_size, max(1, CALL_BYTES // self.callers // plane_bytes))
        # Of one size, the last one too: scores may not depend on a plane's place in the batch.
        step = -(-len(planes) // -(-len(planes) // most))
        smallest = step if len(planes) > step else min(2, most)
        parts = []
        for start in range(0, len(planes), step):
            with self._room.taking(step * plane_bytes):
                parts.append(self._scores(planes[start : start + step], smallest))
        return parts[0] if len(parts) == 1 else Scores(*map(np.concatenate, zip(*parts, strict=True)))

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


class Room:
    """Memory for calls side by side: one that finds no room waits, but the first is always let in."""

    def __init__(self, size: int) -> None:
        self._free = size
        self._size = size
        self._changed = threading.Condition()

    @contextmanager
    def taking(self, size: int) -> Iterator[None]:
        """Holds `size` bytes of it in this context."""
        with self._changed:
            self._changed.wait_for(lambda: self._free >= size or self._free == self._size)
            self._free -= size
        try:
            yield
        finally:
            with self._changed:
                self._free += size
                self._changed.notify_all()


def pad(planes: Array, count: int | None = None, *, smallest: int = 1) -> Array:
    """Repeats the last plane until there are `count`, or else a power of two of at least `smallest`."""
    missing = (count or 1 << (max(smallest, len(planes)) - 1).bit_length()) - len(planes)
    return np.concatenate([planes, planes[-1:].repeat(missing, axis=0)]) if missing else planes


def warm_up(engine: Engine, probe: Probe) -> Probe:
    """Calls an engine for the first time.

    Returns:
        The probe with the engine's batch size.

    Raises:
        RunError: The model does not fit into memory, fails, or gives another shape than when it was probed.
    """
    plane = synthetic_planes(1, *probe.plane_size, probe.spec.channels)
    if probe.spec.resize in ("native", "tile"):
        # What is not resized stays uint8, for which TensorFlow compiles the model anew.
        plane = as_uint8(plane)
    try:
        with step("started"):
            shape = engine(plane).logits.shape
    except MemoryError as error:
        raise RunError(f"The model does not fit into this machine's memory: {error}.") from error
    except Exception as error:
        raise model_failure(error) from error
    probed = (1, *probe.map_size, probe.head.channels)[: len(shape)]
    if shape != probed:
        raise not_as_probed(f"{shape}", f"{probed}")
    return replace(probe, batch_size=engine.batch_size)
