"""The end of one input, in a form small enough to be counted by the million."""

import os
import pickle
import socket
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from apache_beam import coders
from apache_beam.coders.typecoders import registry

from maskbeam.transforms.elements import Source
from maskbeam.transforms.measures.counted import Counted


@dataclass(frozen=True)
class Outcome:
    """An image that has a mask, or that lost its name to another source.

    Attributes:
        image_id: Its id.
        source: Its source, content digest included.
        height: Of the source image, in pixels.
        width: Of the source image, in pixels.
        counted: What was counted of it; None when it lost.
        skipped: Whether it was found done, by an earlier run or by an earlier attempt at the same bundle.
        updated: Whether its mask replaced one of an older version of the same source.
        worker: Which process did it.
        rival: Place of the source whose mask keeps the id, when this one lost to an input of the same command.
        grid: Where its pixels lie on the earth, as `grids.py` has it; nothing of a plain picture.
    """

    image_id: str
    source: Source
    height: int = 0
    width: int = 0
    counted: Counted | None = None
    skipped: bool = False
    updated: bool = False
    worker: str = ""
    rival: str = ""
    grid: dict[str, Any] = field(default_factory=dict)

    @property
    def lost(self) -> bool:
        """True if another source keeps this image's id."""
        return self.counted is None


@cache
def worker_name() -> str:
    """This process, as run reports name it."""
    return f"{socket.gethostname()}-{os.getpid()}"


Plain = tuple[Any, ...]


def to_plain(outcome: Outcome) -> Plain:
    """As a tuple of plain values: pickled, a third of what dataclasses take."""
    # Not dataclasses.astuple, which copies deeply: five times as long.
    source, counted = tuple(vars(outcome.source).values()), outcome.counted and outcome.counted.to_plain()
    return tuple({**vars(outcome), "source": source, "counted": counted}.values())


def from_plain(plain: Plain) -> Outcome:
    """The outcome that `to_plain` was given."""
    image_id, source, height, width, counted, *rest = plain
    held = None if counted is None else Counted.from_plain(counted)
    return Outcome(image_id, Source(*source), height, width, held, *rest)


class OutcomeCoder(coders.Coder):
    """Pickles plain values."""

    def encode(self, value: Outcome) -> bytes:
        return pickle.dumps(to_plain(value), protocol=pickle.HIGHEST_PROTOCOL)

    def decode(self, encoded: bytes) -> Outcome:
        return from_plain(pickle.loads(encoded))  # noqa: S301 - written by encode() above

    def estimate_size(self, value: Any) -> int:
        return 300

    def is_deterministic(self) -> bool:
        return True


registry.register_coder(Outcome, OutcomeCoder)
