"""Calls that may fail for a while, tried again within a limit."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from maskbeam.pipeline.storage import Unavailable
from maskbeam.transforms.errors import MaskbeamError

T = TypeVar("T")


@dataclass(frozen=True)
class RetryPolicy:
    """Limits within which a call that fails is tried again.

    Attributes:
        total: Seconds for all attempts and the pauses between them.
        attempts: How many at most.
        first_pause: Upper end of the first pause in seconds; it doubles from pause to pause, and each pause
            is drawn evenly from 0 to its upper end, so that many workers do not come back at once.
        longest_pause: Where the doubling ends, in seconds.
        stall: Seconds without a byte after which an attempt has failed.
        patience: Seconds that an attempt may take as a whole, beside those that its bytes are worth.
    """

    total: float = 60.0
    attempts: int = 20
    first_pause: float = 0.25
    longest_pause: float = 8.0
    stall: float = 15.0
    patience: float = 30.0

    def pause_after(self, number: int) -> float:
        """Seconds to wait after the `number`-th attempt, the first being 1."""
        return random.uniform(0, min(self.longest_pause, self.first_pause * 2 ** (number - 1)))  # noqa: S311


@dataclass(frozen=True)
class Attempt:
    """One try: its `number`, the first being 1, and the seconds that it may wait: for the next byte, and in all."""

    number: int
    timeout: float
    patience: float


class UnfitAnswerError(MaskbeamError):
    """An answer that cannot be the service's, or has been altered on its way; the text says how that shows."""


def retrying(
    call: Callable[[Attempt], T], *, transient: Callable[[Exception], bool], policy: RetryPolicy, place: str
) -> T:
    """Calls until the call returns, and returns that.

    Raises:
        Unavailable: It kept failing; the message names `place`.
        Exception: Whatever `call` raises that is not transient, at once.
    """
    start = time.monotonic()
    for number in range(1, policy.attempts + 1):
        left = policy.total - (time.monotonic() - start)
        try:
            return call(Attempt(number, max(0.1, min(policy.stall, left)), max(0.1, min(policy.patience, left))))
        except Exception as error:
            pause = policy.pause_after(number)
            left = policy.total - (time.monotonic() - start)
            if not transient(error):
                raise
            if pause >= left or number == policy.attempts:
                raise Unavailable(_exhausted(place, number, policy.total - left, error)) from None
        time.sleep(pause)
    raise AssertionError("a policy needs at least one attempt")


def _exhausted(place: str, number: int, seconds: float, error: Exception) -> str:
    return (
        f"{place} failed {number} times in {seconds:.0f} s, the last time with {_in_words(error)}; run the same "
        "command again when it is back: what is done is kept"
    )


def _in_words(error: Exception) -> str:
    if isinstance(error, UnfitAnswerError):
        return f"an answer that storage does not give: {error}; is there a login page or a proxy in between?"
    status = getattr(error, "code", None)
    return f"{type(error).__name__} {status}" if status else type(error).__name__
