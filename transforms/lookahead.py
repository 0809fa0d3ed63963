"""Overlap inside one fused stage: functions run ahead in the process's thread pool, results come out in order.

A bundle runs on one thread, so decoding, the model and encoding would take turns. Here a step hands its elements to
a pool, keeps a bounded number of them in flight, and emits what is done in the order in which it came. Pillow, numpy
and the engines release the interpreter's lock, so that the model computes while images are decoded and masks encoded.

The bound is a count for each bundle and a number of bytes for the process. A bundle that is over the bound takes its
own oldest result; it never waits for another bundle, so bundles that share the pool cannot block each other.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache, partial
from itertools import islice
from typing import Any, overload

import apache_beam as beam
from apache_beam.pvalue import TaggedOutput
from apache_beam.utils.windowed_value import WindowedValue

from maskbeam.transforms.elements import Failure, LogitsBatch, size_of
from maskbeam.transforms.errors import ImageError

# Two batches of the largest size that an engine chooses: one computes while the next is made ready.
ELEMENTS_AHEAD = 64
# What results may hold while they wait, over all bundles of a process.
BYTES_AHEAD = 256 * 2**20
# What results and what is on its way may hold together. Past this nothing is begun ahead of its turn: of images on
# their way nobody knows how large they become.
BYTES_AT_ALL = 2**30
# A group is handed over early when its elements hold as much as this, and a few groups are in flight, however large.
GROUP_BYTES = 16 * 2**20
GROUPS_AHEAD = 4


@cache
def pool(*, waits: bool = False) -> ThreadPoolExecutor:
    """The process's pool: a thread for each core, and many more where they `wait` for storage far away.

    Threads that do not wait only take turns at the interpreter's lock: eight of them on two cores spent a tenth of
    the host's CPU time on handing it around, and three were no faster than two.
    """
    cores = os.cpu_count() or 1
    return ThreadPoolExecutor(max(32, 2 * cores) if waits else max(2, cores), thread_name_prefix="ahead")


class _Held:
    """The bytes that wait in this process: in results of pools, and in what is on its way into them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.bytes = 0
        self.inputs = 0

    def add(self, count: int, *, inputs: int = 0) -> None:
        with self._lock:
            self.bytes += count
            self.inputs += inputs

    @property
    def too_many(self) -> bool:
        return self.bytes + self.inputs > BYTES_AT_ALL


_held = _Held()


def bytes_ahead() -> int:
    """The number of bytes of results that wait in this process."""
    return _held.bytes


class _Task:
    """A call in a pool, put off when its turn comes while the process holds too many bytes, unless it is urgent."""

    def __init__(self, executor: ThreadPoolExecutor, call: Callable[[], Any], size: int) -> None:
        self._executor = executor
        self._call = call
        self._size = size
        self._urgent = False
        _held.add(0, inputs=size)
        self.future: Future[tuple[Any, int] | None] = executor.submit(self._run)

    @property
    def is_put_off(self) -> bool:
        done = self.future.done() and not self.future.cancelled()
        return done and self.future.exception() is None and self.future.result() is None

    def make_urgent(self) -> None:
        """Starts it again if it was put off; it will not be put off again."""
        if self._urgent:
            return
        self._urgent = True
        if self.is_put_off:
            self.future = self._executor.submit(self._run)

    def result(self) -> Any:
        """The result of the call; its size counts no more."""
        self.make_urgent()
        while (done := self.future.result()) is None:
            self.future = self._executor.submit(self._run)
        _held.add(-done[1])
        return done[0]

    def cancel(self) -> None:
        if self.future.cancel():
            _held.add(0, inputs=-self._size)
        else:
            self.future.add_done_callback(self._release)

    def _run(self) -> tuple[Any, int] | None:
        if not self._urgent and _held.too_many:
            return None
        try:
            result = self._call()
            size = size_of(result)
            _held.add(size)
            return result, size
        finally:
            _held.add(0, inputs=-self._size)

    def _release(self, future: Future[tuple[Any, int] | None]) -> None:
        if future.exception() is None:
            done = future.result()
            _held.add(-done[1] if done else 0, inputs=0 if done else -self._size)


class InFlight:
    """Elements in flight of one bundle, oldest first, each with the place (timestamp, window) that it came from."""

    def __init__(self) -> None:
        self._pending: deque[tuple[Any, _Task]] = deque()

    def submit(
        self, executor: ThreadPoolExecutor, place: Any, function: Callable[..., Any], *args: Any, size: int = 0
    ) -> None:
        """Starts `function(*args)` in the pool; `size` is how many bytes its arguments hold."""
        self._pending.append((place, _Task(executor, partial(function, *args), size)))

    def take(self, *, leaving: int) -> Iterator[tuple[Any, Any]]:
        """Yields `(place, result)`, oldest first: whatever is done, and more until at most `leaving` are pending.

        Waits also while the process holds too many bytes. An error cancels what has not started, and is raised.
        """
        while self._pending and (self._beyond(leaving) or self._pending[0][1].future.done()):
            if self._pending[0][1].is_put_off:
                for _, task in islice(self._pending, GROUPS_AHEAD):
                    task.make_urgent()
            place, task = self._pending.popleft()
            try:
                result = task.result()
            except BaseException:
                self.cancel()
                raise
            yield place, result

    def cancel(self) -> None:
        """Drops what is pending; what runs already ends by itself and its result is thrown away."""
        while self._pending:
            self._pending.popleft()[1].cancel()

    def _beyond(self, leaving: int) -> bool:
        return len(self._pending) > leaving or _held.bytes > BYTES_AHEAD or _held.too_many


def emit(result: Any, timestamp: Any, window: Any) -> Any:
    """The output of a DoFn for a result: in its own window, a `Failure` under the tag `failed`."""
    tag, value = (result.tag, result.value) if isinstance(result, TaggedOutput) else (None, result)
    if isinstance(value, Failure):
        tag = "failed"
    windowed = WindowedValue(value, timestamp, (window,))
    return windowed if tag is None else TaggedOutput(tag, windowed)


Step = Callable[[Any], Any]
Together = Callable[[Sequence[Any]], Iterable[Any]]
Waits = bool | Callable[[Any], bool]


def chain(steps: tuple[Step, ...], element: Any) -> Any:
    """The element after all steps, or the first `TaggedOutput` on the way, or the `Failure` of an `ImageError`.

    Args:
        steps: Functions of one element, run in order.
        element: Has `image_id` and `source`, or is a batch of one image that has.
    """
    image = element.images[0] if isinstance(element, LogitsBatch) else element
    try:
        for step in steps:
            element = step(element)
            if isinstance(element, TaggedOutput | Failure):
                break
    except ImageError as error:
        return Failure(image.image_id, image.source, error.code, error.reason)
    return element


class LookAhead(beam.PTransform[Any, Any]):
    """Maps elements through a chain of functions in the process's thread pool, in order, a bounded number ahead.

    Failures go to the tag `failed`; a function sends an element to another tag by returning a `TaggedOutput`.
    Elements whose functions take microseconds are handed over in groups of `group`, because one handing-over takes
    longer than that. A function `together` sees a whole group first, and gives what its elements become, in order;
    it raises no `ImageError`. `waits` says that the functions wait for storage far away, always or for which
    elements; more threads make up for that.

    One followed by another, `Decode() | Prepare(spec)`, is one chain: an element is handed over once for all of it.
    """

    def __init__(
        self,
        *steps: Step,
        output_type: type,
        tags: tuple[str, ...] = (),
        group: int = 1,
        together: Together = tuple,
        waits: Waits = False,
    ) -> None:
        super().__init__()
        self.steps = steps
        self._output_type = output_type
        self._tags = tags
        self._group = group
        self._together = together
        self._waits = waits

    @overload
    def __or__(self, after: "LookAhead") -> "LookAhead": ...
    @overload
    def __or__(self, after: Any) -> Any: ...
    def __or__(self, after: Any) -> Any:
        if not isinstance(after, LookAhead):
            return super().__or__(after)  # type: ignore[no-untyped-call]
        if after._together is not tuple or callable(after._waits):
            raise ValueError("only the first of a chain sees groups, and says of which elements it waits")
        return LookAhead(
            *self.steps,
            *after.steps,
            output_type=after._output_type,
            tags=(*self._tags, *after._tags),
            group=max(self._group, after._group),
            together=self._together,
            waits=after._waits or self._waits,
        )

    def within(self, wrap: Callable[[tuple[Step, ...]], Step]) -> "LookAhead":
        """The same chain as one step, that `wrap` makes of its steps."""
        return LookAhead(
            wrap(self.steps),
            output_type=self._output_type,
            tags=self._tags,
            group=self._group,
            together=self._together,
            waits=self._waits,
        )

    def expand(self, elements: Any) -> Any:
        run = beam.ParDo(_LookAhead(self.steps, self._group, self._together, self._waits))
        ahead = run.with_output_types(self._output_type).with_outputs("failed", *self._tags, main="main")
        return elements | "Run ahead" >> ahead


class _LookAhead(beam.DoFn):
    def __init__(
        self, steps: tuple[Step, ...], group: int = 1, together: Together = tuple, waits: Waits = False
    ) -> None:
        self._steps = steps
        self._size = group
        self._together = together
        self._waits = waits

    def start_bundle(self) -> None:
        self._in_flight = InFlight()
        self._group: list[tuple[Any, Any]] = []
        self._bytes = 0

    def process(
        self, element: Any, timestamp: Any = beam.DoFn.TimestampParam, window: Any = beam.DoFn.WindowParam
    ) -> Iterator[Any]:
        self._group.append((element, (timestamp, window)))
        self._bytes += size_of(element)
        if len(self._group) >= self._size or self._bytes >= GROUP_BYTES:
            self._submit()
            yield from self._results(leaving=max(GROUPS_AHEAD, ELEMENTS_AHEAD // self._size))

    def finish_bundle(self) -> Iterator[Any]:
        if self._group:
            self._submit()
        yield from self._results(leaving=0)

    def _submit(self) -> None:
        elements, places = zip(*self._group, strict=True)
        size, self._group, self._bytes = self._bytes, [], 0
        waits = self._waits if isinstance(self._waits, bool) else any(map(self._waits, elements))
        self._in_flight.submit(
            pool(waits=waits), places, _chain_all, self._steps, elements, self._together, size=size
        )

    def _results(self, *, leaving: int) -> Iterator[Any]:
        for places, results in self._in_flight.take(leaving=leaving):
            for place, result in zip(places, results, strict=True):
                yield emit(result, *place)


def _chain_all(steps: tuple[Step, ...], elements: tuple[Any, ...], together: Together) -> list[Any]:
    return [chain(steps, element) for element in together(elements)]
