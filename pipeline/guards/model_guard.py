"""Limits on calls of the model, and who has it alone."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod

from maskbeam.pipeline.guards.watched_call import call_on
from maskbeam.pipeline.output.failures import is_suspect
from maskbeam.pipeline.output.tree import Tree
from maskbeam.pipeline.process.watchdog import watchdog
from maskbeam.pipeline.process.watched_step import FIRST_CALL_SECONDS
from maskbeam.transforms.elements import ModelInput

# Later calls get many times what the slowest one took, and never less than this.
CALL_SECONDS = 120.0
CALL_FACTOR = 20


@dataclass(frozen=True)
class ModelGuard:
    """Looks after calls of the model; see `maskbeam.transforms.predict.Guard`."""

    tree: Tree

    def alone(self, image: ModelInput) -> bool:
        return is_suspect(self.tree, image.source)

    @contextmanager
    def calling(self, images: Sequence[ModelInput]) -> Iterator[None]:
        shape = images[0].plane.shape
        with _turns.taken(alone=len(images) == 1 and self.alone(images[0])):
            start = time.monotonic()
            with watchdog().watching(_pace.limit(shape), call_on(self.tree, "model", images)):
                yield
            _pace.took(shape, time.monotonic() - start)


class _Turns:
    """Calls of the model side by side; a suspect has it to itself, so that it is known who makes it crash."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._going = 0
        self._alone = False

    @contextmanager
    def taken(self, *, alone: bool) -> Iterator[None]:
        """A context for a call; waits until it may begin."""
        with self._changed:
            self._changed.wait_for(lambda: not (self._going if alone else self._alone))
            self._going += 1
            self._alone = alone
        try:
            yield
        finally:
            with self._changed:
                self._going -= 1
                self._alone = False
                self._changed.notify_all()


_turns = _Turns()


class _Pace:
    """The time that calls of the model take in this process, by the shape `(h, w, C)` of their planes."""

    def __init__(self) -> None:
        self._slowest: dict[tuple[int, ...], float] = {}
        self._slowest_first: tuple[float, int] | None = None

    def limit(self, shape: tuple[int, ...]) -> float:
        # What the first call took has compiled the model in it and says nothing of the others.
        slowest = self._slowest.get(shape)
        if slowest is not None:
            return max(CALL_SECONDS, CALL_FACTOR * slowest)
        if self._slowest_first is None:
            return FIRST_CALL_SECONDS
        # Attention takes the square of its pixels.
        seconds, pixels = self._slowest_first
        return max(CALL_SECONDS, CALL_FACTOR * seconds * max(1.0, prod(shape) / pixels) ** 2)

    def took(self, shape: tuple[int, ...], seconds: float) -> None:
        if shape in self._slowest:
            self._slowest[shape] = max(self._slowest[shape], seconds)
            return
        self._slowest[shape] = 0.0
        if self._slowest_first is None or seconds > self._slowest_first[0]:
            self._slowest_first = (seconds, prod(shape))


_pace = _Pace()
