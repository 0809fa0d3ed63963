"""What became of one input, in a form small enough to be counted by the million."""

import json
import os
import pickle
import socket
from dataclasses import dataclass
from functools import cache
from typing import Any

from apache_beam import coders
from apache_beam.coders.typecoders import registry

from transforms.elements import Source
from transforms.statistics import PixelStatistics


@dataclass(frozen=True)
class Outcome:
    """An image that has a mask, or that lost its name to another source.

    Attributes:
        image_id: Its id.
        source: Its source, content digest included.
        height: Of the source image, in pixels.
        width: Of the source image, in pixels.
        statistics: Its pixel statistics in their JSON form, as text; empty when it lost.
        skipped: Whether it was found done, by an earlier run or by an earlier attempt at the same bundle.
        updated: Whether its mask replaced one of an older version of the same source.
        worker: Which process did it.
        rival: Content digest of the source that keeps the id, when this one lost; else empty.
    """

    image_id: str
    source: Source
    height: int = 0
    width: int = 0
    statistics: str = ""
    skipped: bool = False
    updated: bool = False
    worker: str = ""
    rival: str = ""

    @property
    def lost(self) -> bool:
        """Whether another source keeps this image's id."""
        return not self.statistics

    @property
    def pixel_statistics(self) -> PixelStatistics:
        """Its pixel statistics; none when it lost."""
        return PixelStatistics.from_json(json.loads(self.statistics)) if self.statistics else PixelStatistics.zero()


@cache
def worker_name() -> str:
    """This process, as run reports name it."""
    return f"{socket.gethostname()}-{os.getpid()}"


class OutcomeCoder(coders.Coder):
    """A tuple of plain values: a third of what a pickled dataclass takes."""

    def encode(self, value: Outcome) -> bytes:
        # Not dataclasses.astuple, which copies deeply: five times as long.
        plain = {**vars(value), "source": tuple(vars(value.source).values())}
        return pickle.dumps(tuple(plain.values()), protocol=pickle.HIGHEST_PROTOCOL)

    def decode(self, encoded: bytes) -> Outcome:
        image_id, source, *rest = pickle.loads(encoded)  # noqa: S301 - written by encode() above
        return Outcome(image_id, Source(*source), *rest)

    def estimate_size(self, value: Any) -> int:
        return 200 + len(value.statistics)

    def is_deterministic(self) -> bool:
        return True


registry.register_coder(Outcome, OutcomeCoder)
