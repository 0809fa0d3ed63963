"""The result of checking one image, and what is said of its record whatever its format is."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from maskbeam.pipeline.output.claim import Record
from maskbeam.pipeline.output.finished import FinishedOutput
from maskbeam.pipeline.storage import NotFound
from maskbeam.transforms.measures.counted import Counted


class Checked(NamedTuple):
    """The result of checking an image.

    Attributes:
        counted: Its counts as its pixels say; None where these could not be read.
        size: Height and width in pixels.
        differences: What differs, in words.
        text: That of its mask.
        grid: Where its pixels lie on the earth, as `output/grids.py` has it.
    """

    counted: Counted | None
    size: tuple[int, int]
    differences: list[str]
    text: str = ""
    grid: Mapping[str, Any] = MappingProxyType({})


def said_of(record: Record, output: FinishedOutput, place: str) -> list[str]:
    """The statements of an image's record that are wrong, beside its pixels.

    Args:
        record: The record.
        output: The output.
        place: Digest of where the image's source lies, from the reports.
    """
    return [
        *(["was made with another model or other options"] if record.claim.fingerprint != output.fingerprint else []),
        *(["belongs to another source than the report says"] if record.claim.place != place else []),
    ]


def lost(error: Exception) -> str:
    """A file that could not be read, in words."""
    return "is missing" if isinstance(error, NotFound) else "cannot be read"
