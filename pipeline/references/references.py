"""References of a finished output: found, looked at, and understood before work starts."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from maskbeam.pipeline.classes.class_files import read_class_table, read_file
from maskbeam.pipeline.output.claim import Record
from maskbeam.pipeline.output.finished import FinishedOutput
from maskbeam.pipeline.output.finished_rows import FinishedImage
from maskbeam.pipeline.references.reader import Located, Read, ReferenceReader, Sampled, Wanted
from maskbeam.pipeline.references.where import open_reader
from maskbeam.pipeline.storage import join
from maskbeam.transforms.classes.class_table import LARGEST_ID
from maskbeam.transforms.comparison.align import Alignment
from maskbeam.transforms.comparison.fit import better_fit, count_pairs, fit_in_words
from maskbeam.transforms.comparison.pairing import pair_classes
from maskbeam.transforms.comparison.reference import ReferencePixels
from maskbeam.transforms.comparison.values import Look, Meaning, look_at, tell_values, values_in_words
from maskbeam.transforms.errors import ImageError, RunError

# So many references are looked at before work starts.
LOOKED_AT: Final = 64


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

    def read_all(self, located: Iterable[Located]) -> Iterator[Read]:
        """The same of many, in one go where they lie in one file; with the error in place of pixels."""
        return self.reader.read_all(located)


def find_references(wanted: Wanted, output: FinishedOutput) -> References:
    """Finds the references of an output's images, and tells by some of them how they are to be read.

    Raises:
        RunError: There is no such place; classes cannot be paired; what values mean cannot be told; or none of the
            references that were looked at can be read.
    """
    reader = open_reader(wanted)
    if reader.by_source and output.settings.get("--anonymous_ids"):
        raise RunError(
            f"{wanted.flag} {wanted.where}: this output does not tell where its images lie (--anonymous_ids); name "
            "references by their ids in it, as in labels/{id}.png"
        )
    given = read_class_table(wanted.classes, read=read_file) if wanted.classes else None
    table = reader.table(given, output.classes)
    ignored = (*reader.ignored, int(output.settings["--ignore_label"]))
    pairing = pair_classes(output.classes, table, flag=f"{wanted.flag}_classes", ignored=ignored)
    sampled = reader.sample(output.images, LOOKED_AT, wanted.seed)
    looks = _looks(reader, sampled, wanted.flag)
    wish = Meaning(wanted.values) if wanted.values else None
    values = tell_values(looks, pairing, flag=f"{wanted.flag}_values", wish=wish)
    how = Alignment.of(pairing, values, output.classes, upright=wanted.upright)
    fits = [] if table or output.planes else _fits(reader, sampled, output, ignored, wanted.flag)
    said = f"{len(looks)} looked at: {values_in_words(looks, values, pairing)}" if looks else "none was found"
    return References(reader, how, sampled.total, (said, *(table.notes if table else ()), *pairing.notes, *fits))


def orientation_of(record: Record, output: FinishedOutput) -> int:
    """The EXIF orientation of a photo whose mask lies as the photo is stored; 1 where it was turned upright."""
    how = record.options.get("--orientation", output.settings.get("--orientation"))
    return 1 if how == "upright" else record.orientation


def _fits(
    reader: ReferenceReader, sampled: Sampled, output: FinishedOutput, ignored: Collection[int], flag: str
) -> list[str]:
    """Says where another numbering of the reference's ids fits the masks far better."""
    pairs: Counter[tuple[int, int]] = Counter()
    for image_id, located in sampled.images:
        if output.storage.stat(join(output.root, output.path(image_id))) is None:
            continue
        try:
            pixels, labels = reader.read(located).pixels, output.mask(image_id)
        except ImageError:
            continue
        if pixels.shape == labels.shape and pixels.dtype in (np.uint8, np.uint16):
            pairs.update(count_pairs(pixels, labels))
    found = better_fit(pairs, {*ignored, 255, LARGEST_ID} - set(output.classes.ids))
    return [fit_in_words(found, f"{flag}_classes")] if found else []


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
