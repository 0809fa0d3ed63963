"""How much memory there is, and the steps of one image that keep within it."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transforms.budget import Budget, asking
from transforms.elements import EncodedImage
from transforms.errors import ImageError
from transforms.lookahead import bytes_ahead

_GROUPS = Path("/sys/fs/cgroup")
_LIMITS = ("memory.max", "memory/memory.limit_in_bytes")


def memory_bytes(groups: Path = _GROUPS, of_process: Path = Path("/proc/self/cgroup")) -> int:
    """The memory of this machine, or of the control group that this process lies in, whichever is less."""
    return min([os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), *_limits(groups, of_process)])


def _limits(groups: Path, of_process: Path) -> Iterator[int]:
    try:
        mine = [line.rpartition(":")[2].strip("/") for line in of_process.read_text().splitlines()]
    except OSError:
        mine = []
    folders = {groups / above for path in mine for above in (Path(path), *Path(path).parents)} | {groups}
    for folder in folders:
        for file in (folder / name for name in _LIMITS):
            try:
                text = file.read_text().strip()
            except OSError:
                continue
            if text.isdecimal():  # else "max": no limit
                yield int(text)


# Made while this is imported: two threads that make theirs at once would not share it.
_BUDGET = Budget(memory_bytes() // 2, elsewhere=bytes_ahead)


def decoding_budget() -> Budget:
    """What this process may use for images from reading to the model: half of the memory; the rest is the model's."""
    return _BUDGET


def ask_for(count: int, *, wait: bool = True) -> bool:
    """Whether this thread's task may use `count` bytes more, as in `Budget.take`; always outside of `WithinMemory`.

    Raises:
        ImageError: `OUT_OF_MEMORY`: there is not as much, for one image alone either.
    """
    if count > 2 * decoding_budget().total:
        have, needs = 2 * decoding_budget().total / 1e9, count / 1e9
        raise ImageError("OUT_OF_MEMORY", f"it needs about {needs:.1f} GB to be decoded, and there are {have:.1f}")
    return decoding_budget().take(count, wait=wait)


def _wait_for(count: int) -> None:
    ask_for(count)


@dataclass(frozen=True)
class WithinMemory:
    """Steps of one image, run one after the other once there is memory for them: for the file, and for its pixels."""

    steps: tuple[Callable[[Any], Any], ...]

    def __call__(self, image: EncodedImage) -> Any:
        with decoding_budget().task(), asking(_wait_for):
            _wait_for(image.size)
            result: Any = image
            for step in self.steps:
                result = step(result)
            return result
