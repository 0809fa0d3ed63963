"""Images in, logits out: forms batches of one shape, runs the engine, and isolates what makes it fail."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from math import prod
from typing import Any, NamedTuple, Protocol

import apache_beam as beam
import numpy as np

from maskbeam.transforms.elements import Array, EmptyWindow, FailedWindow, Failure, LogitsBatch, ModelInput
from maskbeam.transforms.errors import Code, ImageError, RunError
from maskbeam.transforms.garbage_collection import started
from maskbeam.transforms.lookahead import InFlight, emit

# What may wait for more images of its own shape. Photos of many sizes would otherwise all wait for the bundle's end,
# and a bundle may be the whole input.
BATCHES_WAITING = 8
BYTES_WAITING = 256 * 2**20
# What images may hold meanwhile on which overlays are drawn: two of the largest, or thirty photos.
KEPT_WAITING = 2**30


class Scores(NamedTuple):
    """An engine's output for N planes.

    Attributes:
        logits: Float32 `[N, h, w, C]`, channels last; or channel indices `[N, h, w]` when the argmax is part of the
            model's own graph.
        confidence: Int64 `[N]`: sum over model pixels of `round(winning probability * 65535)`.
        nonfinite: Int64 `[N]`: pixels with a NaN among their logits.
    """

    logits: Array
    confidence: Array
    nonfinite: Array


class Engine(Protocol):
    """A compiled model. Takes planes `[N, h, w, C]` on a scale of 0..255 with `N <= batch_size`.

    An engine of which one call does not use all cores also says, as `callers`, how many threads may call it at once.
    """

    @property
    def batch_size(self) -> int:
        """The largest batch that the engine takes; also the one that it was compiled for."""
        ...

    def __call__(self, planes: Array) -> Scores:
        """Raises MemoryError when the device has no room for a batch of this size."""
        ...


Loader = Callable[[], Engine]


class Guard(Protocol):
    """Looks after calls of the engine, which may never return."""

    def alone(self, image: ModelInput) -> bool:
        """True if this image must not share a batch."""
        ...

    def calling(self, images: Sequence[ModelInput]) -> AbstractContextManager[None]:
        """The context in which the engine is called with these images."""
        ...


class Unguarded:
    """A guard that does nothing."""

    def alone(self, image: ModelInput) -> bool:
        return False

    def calling(self, images: Sequence[ModelInput]) -> AbstractContextManager[None]:
        return nullcontext()


UNGUARDED = Unguarded()
Predicted = list[LogitsBatch | FailedWindow | Failure]


def predict(
    images: list[ModelInput], engine: Engine, *, limit: int, guard: Guard = UNGUARDED, full: int = 0
) -> Predicted:
    """Runs the engine over images of one plane shape, never losing one image for another's sake.

    A batch that fails is halved until only the image that makes it fail is left; that one becomes a `Failure`.

    Args:
        images: At most `limit` of them.
        engine: The compiled model.
        limit: Largest number of images to give to the engine at once.
        guard: Looks after each call.
        full: Number of windows that a batch of them is filled up to; `limit` unless given.

    Returns:
        For each image, in order, a batch of one or its `Failure`; a `FailedWindow` of one that is a window.
    """
    if len(images) > limit:
        first = predict(images[:limit], engine, limit=limit, guard=guard, full=full)
        return first + predict(images[limit:], engine, limit=limit, guard=guard, full=full)
    full = full or limit
    try:
        with guard.calling(images):
            scores = _scores(images, engine, full)
    except RunError:
        raise
    except (Exception, SystemExit) as error:
        # A model's own code may call exit().
        if len(images) == 1:
            return [_failure(images[0], error)]
        half = (len(images) + 1) // 2
        # Windows beside one that fails get the scores that they get elsewhere, unless there is no room for that.
        return predict(images, engine, limit=half, guard=guard, full=half if isinstance(error, MemoryError) else full)
    return list(LogitsBatch(tuple(image.without_plane() for image in images), *scores).split())


def _scores(images: list[ModelInput], engine: Engine, full: int) -> Scores:
    planes = [image.plane for image in images]
    if images[0].window is None:
        return engine(np.stack(planes))
    # The last bits of scores may depend on the size of the batch, and an image must not depend on how it was divided.
    whole = engine(np.stack(planes + planes[-1:] * (full - len(planes))))
    return Scores(*(part[: len(images)] for part in whole))


def _failure(image: ModelInput, error: BaseException) -> Failure | FailedWindow:
    code, reason = _explained(error)
    if image.window is None:
        return Failure(image.image_id, image.source, code, reason)
    where = f"in its window at row {image.region.top}, column {image.region.left}: {reason}"
    return FailedWindow(image.origin, image.region, image.window, code, where)


def _explained(error: BaseException) -> tuple[str, str]:
    if isinstance(error, ImageError):
        code, reason = error.code, error.reason
    elif isinstance(error, MemoryError):
        code = Code.OUT_OF_MEMORY
        reason = "the model ran out of memory on this image alone; a smaller model input is needed"
    else:
        # An engine's message can hold values of the image, so only its kind is told.
        code, reason = Code.MODEL_FAILED, f"the model raised {type(error).__name__} on this image alone"
    return code, reason


class Predict(beam.PTransform[Any, Any]):
    """`ModelInput` -> `LogitsBatch` of one image each; failures go to the tag `failed`.

    Windows that failed, and those that the model need not see, stay among the others.

    The loader is called once a process, when the first image comes: a run that has nothing to do loads no model.
    """

    def __init__(self, loader: Loader, *, guard: Guard = UNGUARDED) -> None:
        super().__init__()
        self._loader = loader
        self._guard = guard

    def expand(self, images: Any) -> Any:
        run = beam.ParDo(_Predict(self._loader, self._guard)).with_output_types(LogitsBatch)
        return images | "Run engine" >> run.with_outputs("failed", main="main")


class _Waiting(NamedTuple):
    """An image that waits for its batch, and the place (timestamp, window) that it came from."""

    image: ModelInput
    place: tuple[Any, Any]

    @property
    def kept(self) -> int:
        """Bytes of the image that overlays are drawn on."""
        return 0 if self.image.image is None else self.image.image.nbytes


class _Buckets:
    """Images that wait for others of their own plane shape; how many they are, and the bytes that they hold."""

    def __init__(self) -> None:
        self.of: dict[tuple[int, ...], list[_Waiting]] = {}
        self.images = self.planes = self.kept = 0

    def __bool__(self) -> bool:
        return bool(self.of)

    def add(self, waiting: _Waiting) -> int:
        """Adds one, and gives the number of those of its shape."""
        bucket = self.of.setdefault(waiting.image.plane.shape, [])
        bucket.append(waiting)
        self._count(1, waiting)
        return len(bucket)

    def take(self, shape: tuple[int, ...]) -> list[_Waiting]:
        """Those of a shape, which then wait no more."""
        bucket = self.of.pop(shape)
        for waiting in bucket:
            self._count(-1, waiting)
        return bucket

    @property
    def fullest(self) -> tuple[int, ...]:
        """The shape of those that hold most pixels."""
        return max(self.of, key=lambda shape: len(self.of[shape]) * prod(shape))

    def _count(self, sign: int, waiting: _Waiting) -> None:
        self.images += sign
        self.planes += sign * waiting.image.plane.nbytes
        self.kept += sign * waiting.kept


class _Predict(beam.DoFn):
    def __init__(self, loader: Loader, guard: Guard) -> None:
        self._loader = loader
        self._guard = guard

    def start_bundle(self) -> None:
        self._in_flight = InFlight()
        self._buckets = _Buckets()
        self._loaded: Engine | None = None

    def process(
        self,
        image: ModelInput | EmptyWindow,
        timestamp: Any = beam.DoFn.TimestampParam,
        window: Any = beam.DoFn.WindowParam,
    ) -> Iterator[Any]:
        if isinstance(image, EmptyWindow):
            yield image
            if image.window.is_alone and image.window.is_last:
                yield from self._all_results()
            return
        waiting = _Waiting(image, (timestamp, window))
        if self._guard.alone(image):
            self._submit([waiting])
            yield from self._results()
            return
        ends = image.window is not None and image.window.is_alone and image.window.is_last
        if self._buckets.add(waiting) >= self._engine.batch_size or ends:
            self._submit(self._buckets.take(image.plane.shape))
            yield from self._results(leaving=0 if ends else None)
        while self._waits_too_much():
            self._submit(self._buckets.take(self._buckets.fullest))
            yield from self._results()

    def finish_bundle(self) -> Iterator[Any]:
        yield from self._all_results()

    def _all_results(self) -> Iterator[Any]:
        while self._buckets:
            self._submit(self._buckets.take(self._buckets.fullest))
        yield from self._results(leaving=0)

    @property
    def _engine(self) -> Engine:
        """The process's engine, asked for once a bundle."""
        if self._loaded is None:
            self._loaded = self._loader()
        return self._loaded

    def _waits_too_much(self) -> bool:
        waiting, most = self._buckets, BATCHES_WAITING * self._engine.batch_size
        return waiting.images >= most or waiting.planes > BYTES_WAITING or waiting.kept > KEPT_WAITING

    def _submit(self, bucket: list[_Waiting]) -> None:
        images = [waiting.image for waiting in bucket]
        places = [waiting.place for waiting in bucket]
        self._in_flight.submit(
            model_threads(callers_of(self._engine)), places, _run, self._loader, images, self._guard
        )

    def _results(self, *, leaving: int | None = None) -> Iterator[Any]:
        # One batch for each caller computes while the next is filled; another would only hold memory.
        leaving = callers_of(self._engine) if leaving is None else leaving
        for places, outcome in self._in_flight.take(leaving=leaving):
            for place, result in zip(places, outcome, strict=True):
                yield emit(result, *place)


def callers_of(engine: Engine) -> int:
    """The number of threads that may call an engine at once."""
    return getattr(engine, "callers", 1)


@cache
def model_threads(count: int) -> ThreadPoolExecutor:
    """The process's threads that call the model, so that bundles side by side do not fight for the device."""
    return ThreadPoolExecutor(count, thread_name_prefix="model")


_started_once = cache(started)


def _run(loader: Loader, images: list[ModelInput], guard: Guard) -> Predicted:
    engine = loader()
    _started_once()
    return predict(images, engine, limit=engine.batch_size, guard=guard)
