"""Masks of another output of maskbeam as references."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from maskbeam.pipeline.output.finished import FinishedOutput
from maskbeam.pipeline.output.finished_rows import FinishedImage
from maskbeam.pipeline.output.tree import RECORD
from maskbeam.pipeline.references.reader import (
    Located,
    ReferenceReader,
    Sampled,
    Wanted,
    drawn_of,
    read_file,
    stat_all,
)
from maskbeam.pipeline.storage import absolute, is_gcs, join, open_storage
from maskbeam.transforms.classes.class_table import ClassTable
from maskbeam.transforms.codecs.encode import decode_written
from maskbeam.transforms.comparison.reference import ReferencePixels, unreadable
from maskbeam.transforms.errors import RunError


@dataclass(frozen=True)
class OutputReferences(ReferenceReader):
    """The masks of a finished output: its own table says what they hold."""

    output: FinishedOutput

    def table(self, given: ClassTable | None, ours: ClassTable) -> ClassTable:
        return given or replace(self.output.classes, source=self.output.root)

    @property
    def ignored(self) -> tuple[int, ...]:
        return (int(self.output.settings["--ignore_label"]),)

    def versions(self, images: Sequence[FinishedImage]) -> Mapping[str, Located]:
        uris = {image.image_id: join(self.output.root, self.output.path(image.image_id)) for image in images}
        found = stat_all(self.output.storage, uris.values())
        return {image_id: found[uri] for image_id, uri in uris.items() if uri in found}

    def read(self, located: Located) -> ReferencePixels:
        try:
            return ReferencePixels(decode_written(read_file(self.output.storage, located)))
        except ValueError as error:
            raise unreadable(f"the mask is damaged: {error}") from None

    def sample(self, rows: Callable[[], Iterable[FinishedImage]], most: int, seed: int) -> Sampled:
        chosen, total = drawn_of(self.output.images(), most, seed, lambda row: row.image_id)
        return Sampled(tuple(sorted(self.versions(chosen).items())), total)


def is_output(word: str) -> bool:
    """True of a folder that a run has begun an output in."""
    if is_gcs(word) and not word.removeprefix("gs://").strip("/"):
        return False
    root = absolute(word).rstrip("/")
    return bool(root) and open_storage(root, named=root).stat(join(root, RECORD)) is not None


def output_references(wanted: Wanted) -> OutputReferences:
    """The masks of an output.

    Raises:
        RunError: No run has finished there, or its masks are no label maps.
    """
    output = FinishedOutput.open(wanted.where)
    if output.planes:
        raise RunError(
            f"{wanted.flag} {wanted.where}: its classes are independent of each other, with a mask for each, where "
            "one label map is wanted"
        )
    return OutputReferences(output)
