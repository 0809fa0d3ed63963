"""Faults for storage, drawn from a seed: the same requests meet the same faults in every run and on any thread."""

import random
import threading
from collections import Counter, deque

# What each fault does is said where it is done: the fake server for all, `faulty_storage` for local files.
TRANSIENT = ("429", "500", "503", "reset", "stall", "truncated", "altered", "lost")
FINAL = ("401", "403")


class Faults:
    """Decides which request fails, and how.

    Attributes:
        rate: Share of requests that fail.
        kinds: What happens to those, drawn evenly.
        injected: How often each kind was used.
    """

    def __init__(self, *, rate: float = 0.0, kinds: tuple[str, ...] = TRANSIENT, seed: int = 0) -> None:
        self.rate = rate
        self.kinds = kinds
        self.injected: Counter[str] = Counter()
        self._seed = seed
        self._seen: Counter[str] = Counter()
        self._planned: deque[tuple[str, str]] = deque()
        self._lock = threading.Lock()

    def plan(self, *kinds: str, only: str = "") -> None:
        """The next requests whose text contains `only` meet these faults, one each; "" lets one pass."""
        with self._lock:
            self._planned.extend((kind, only) for kind in kinds)

    def draw(self, request: str) -> str:
        """The fault that this request meets, or ""."""
        with self._lock:
            kind = self._draw(request)
            self.injected[kind] += bool(kind)
            return kind

    def _draw(self, request: str) -> str:
        if self._planned and self._planned[0][1] in request:
            return self._planned.popleft()[0]
        self._seen[request] += 1
        chance = random.Random(f"{self._seed} {self._seen[request]} {request}")
        return chance.choice(self.kinds) if chance.random() < self.rate else ""
