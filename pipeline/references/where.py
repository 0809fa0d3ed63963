"""The words of --truth and --old: each kind of place that references come from has its reader."""

from collections.abc import Callable
from dataclasses import dataclass

from maskbeam.pipeline.references.files import folder_references, template_references
from maskbeam.pipeline.references.reader import ReferenceReader
from maskbeam.pipeline.references.template import is_template


@dataclass(frozen=True)
class ReferenceKind:
    """A kind of place.

    Attributes:
        means: Whether a word means a place of this kind.
        open: Makes its reader of the word and the flag that it was said with; RunError where there is no such place.
    """

    means: Callable[[str], bool]
    open: Callable[[str, str], ReferenceReader]


def _anything(word: str) -> bool:
    return True


# In the order in which they are asked.
KINDS: tuple[ReferenceKind, ...] = (
    ReferenceKind(is_template, template_references),
    ReferenceKind(_anything, folder_references),
)


def open_reader(word: str, flag: str) -> ReferenceReader:
    """The reader of references of a place.

    Args:
        word: WHERE, as a person wrote it.
        flag: The option, `--truth` or `--old`, for messages.

    Raises:
        RunError: There is no such place, or the word is wrong.
    """
    return next(kind for kind in KINDS if kind.means(word)).open(word, flag)
