"""The work on images that are cut into windows, in numbers that add up."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from apache_beam.pvalue import TaggedOutput
from apache_beam.transforms.window import GlobalWindow

from maskbeam.transforms.elements import Image
from maskbeam.transforms.lookahead import emit


class Work(NamedTuple):
    """Amounts of work.

    Attributes:
        windows: Those that the model has seen.
        empty: Those without a pixel that has data, which it has not.
        bytes: Of pixels that were read, as files store them before they are compressed.
    """

    windows: int = 0
    empty: int = 0
    bytes: int = 0

    def plus(self, *, windows: int = 0, empty: int = 0, bytes: int = 0) -> "Work":
        """This and so much more."""
        return Work(self.windows + windows, self.empty + empty, self.bytes + bytes)

    @classmethod
    def sum(cls, parts: "Iterable[Work]") -> "Work":
        """The sum of any number of them."""
        return cls(*map(sum, zip(cls(), *parts, strict=True)))


def stored_bytes(image: Image) -> int:
    """The bytes that an image's pixels take as their file stores them; of several types the widest."""
    kinds = image.origin.facts.get("samples", "uint8").split(",")
    return int(image.pixels.size) * max(np.dtype(kind).itemsize for kind in kinds)


def emitted(work: Work) -> Any:
    """The output of a DoFn at a bundle's end, at the tag `work`: a bundle that is run again counts once."""
    window = GlobalWindow()
    return emit(TaggedOutput("work", work), window.max_timestamp(), window)
