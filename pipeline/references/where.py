"""The words of --truth and --old: each kind of place that references come from has its reader."""

from collections.abc import Callable
from dataclasses import dataclass

from maskbeam.pipeline.references.coco import coco_references, is_coco
from maskbeam.pipeline.references.columns import column_references, is_column
from maskbeam.pipeline.references.files import folder_references, template_references
from maskbeam.pipeline.references.outputs import is_output, output_references
from maskbeam.pipeline.references.reader import ReferenceReader, Wanted
from maskbeam.pipeline.references.records import is_key, record_references
from maskbeam.pipeline.references.template import is_template


@dataclass(frozen=True)
class ReferenceKind:
    """A kind of place.

    Attributes:
        means: Whether a word means a place of this kind.
        open: Makes its reader of what a person said; RunError where there is no such place.
    """

    means: Callable[[str], bool]
    open: Callable[[Wanted], ReferenceReader]


def _anything(word: str) -> bool:
    return True


# In the order in which they are asked.
KINDS: tuple[ReferenceKind, ...] = (
    ReferenceKind(is_key, record_references),
    ReferenceKind(is_column, column_references),
    ReferenceKind(is_coco, coco_references),
    ReferenceKind(is_template, template_references),
    ReferenceKind(is_output, output_references),
    ReferenceKind(_anything, folder_references),
)


def open_reader(wanted: Wanted) -> ReferenceReader:
    """The reader of references of a place.

    Raises:
        RunError: There is no such place, or the word is wrong.
    """
    return next(kind for kind in KINDS if kind.means(wanted.where)).open(wanted)
