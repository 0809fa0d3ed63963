"""References of a finished output: found, looked at, and understood before work starts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from maskbeam.pipeline.classes.class_files import read_class_table, read_file
from maskbeam.pipeline.output.claim import Record
from maskbeam.pipeline.output.finished import FinishedOutput
from maskbeam.pipeline.output.finished_rows import FinishedImage
from maskbeam.pipeline.references.reader import Located, ReferenceReader, Sampled
from maskbeam.pipeline.references.where import open_reader
from maskbeam.transforms.comparison.align import Alignment
from maskbeam.transforms.comparison.pairing import pair_classes
from maskbeam.transforms.comparison.reference import ReferencePixels
from maskbeam.transforms.comparison.values import Look, Meaning, look_at, tell_values, values_in_words
from maskbeam.transforms.errors import ImageError, RunError

# So many references are looked at before work starts.
LOOKED_AT: Final = 64


@dataclass(frozen=True)
class Wanted:
    """The words of a person for references.

    Attributes:
        where: The place.
        flag: The option that named it: `--truth` or `--old`; options about it begin with it.
        classes: The file, or the name, of its class table; None: the place's own, or else ids are the model's.
        values: What its numbers mean; None: told by content.
        upright: Whether it is drawn on upright photos, whatever its size says.
        seed: Of the draw of those that are looked at.
    """

    where: str
    flag: str = "--truth"
    classes: str | None = None
    values: str | None = None
    upright: bool = False
    seed: int = 0


@dataclass(frozen=True)
class References:
    """References that are understood; can be pickled.

    Attributes:
        reader: Their reader.
        how: What their pixels mean.
        total: How many there are; None where nobody can know.
        words: How they are understood, for a person; all of it belongs in the report.
    """

    reader: ReferenceReader
    how: Alignment
    total: int | None = None
    words: tuple[str, ...] = ()

    def versions(self, images: Sequence[FinishedImage]) -> Mapping[str, Located]:
        """The references of many images at once, by id; those without one are left out."""
        return self.reader.versions(images)

    def read(self, located: Located) -> ReferencePixels:
        """The pixels of a reference; ImageError where they cannot be had."""
        return self.reader.read(located)


def find_references(wanted: Wanted, output: FinishedOutput) -> References:
    """Finds the references of an output's images, and tells by some of them how they are to be read.

    Raises:
        RunError: There is no such place; classes cannot be paired; what values mean cannot be told; or none of the
            references that were looked at can be read.
    """
    reader = open_reader(wanted.where, wanted.flag)
    table = read_class_table(wanted.classes, read=read_file) if wanted.classes else reader.table
    ignored = (*reader.ignored, int(output.settings["--ignore_label"]))
    pairing = pair_classes(output.classes, table, flag=f"{wanted.flag}_classes", ignored=ignored)
    sampled = reader.sample(output.images, LOOKED_AT, wanted.seed)
    looks = _looks(reader, sampled, wanted.flag)
    wish = Meaning(wanted.values) if wanted.values else None
    values = tell_values(looks, pairing, flag=f"{wanted.flag}_values", wish=wish)
    how = Alignment.of(pairing, values, output.classes, upright=wanted.upright)
    said = f"{len(looks)} looked at: {values_in_words(looks, values, pairing)}" if looks else "none was found"
    return References(reader, how, sampled.total, (said, *(table.notes if table else ()), *pairing.notes))


def orientation_of(record: Record, output: FinishedOutput) -> int:
    """The EXIF orientation of a photo whose mask lies as the photo is stored; 1 where it was turned upright."""
    how = record.options.get("--orientation", output.settings.get("--orientation"))
    return 1 if how == "upright" else record.orientation


def _looks(reader: ReferenceReader, sampled: Sampled, flag: str) -> list[Look]:
    looks, reasons = [], []
    for _, located in sampled.images:
        try:
            looks.append(look_at(reader.read(located)))
        except ImageError as error:
            reasons.append(error.reason)
    if reasons and not looks:
        raise RunError(f"{flag}: none of {len(reasons)} references that were looked at can be read: {reasons[0]}")
    return looks
