"""The claim of an output file: which input it belongs to and how it was made. It makes a mask a checkpoint.

Every file written for an image carries its claim: in a PNG text chunk in front of the pixels, in a JPEG comment. The
mask is written last of its image's files and carries the whole record, so that a rerun needs nothing else of an image
that is done. Sources appear as digests, never as paths, because masks are handed on to annotators.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from maskbeam.pipeline.output.grids import is_grid
from maskbeam.pipeline.output.stored_json import parse_stored
from maskbeam.transforms.codecs.aux_xml import AUX_EXTENSION
from maskbeam.transforms.measures.counted import Counted
from maskbeam.transforms.measures.measure import ENDLESS
from maskbeam.transforms.products.registry import product_names

# The name of the PNG text chunk. Its value is one JSON object.
TEXT_KEY = "maskbeam"
# Google Cloud Storage takes 8 KiB of metadata for an object, names and all; what others add must fit, too.
METADATA_BYTES = 6 << 10


@dataclass(frozen=True)
class Claim:
    """A file's origin.

    Attributes:
        place: Digest of where the source lies.
        version: Digest of which version of it was read.
        content: Digest of the bytes that were read.
        fingerprint: Digest of the model and of all options that decide about pixels.
        inputs: Digest of the command's input patterns: an id is contested only among the inputs of one command.
    """

    place: str
    version: str
    content: str
    fingerprint: str
    inputs: str

    def same_work(self, other: "Claim") -> bool:
        """True if both stand for the same version of the same source, done in the same way."""
        return (self.place, self.version, self.fingerprint) == (other.place, other.version, other.fingerprint)


class Verdict(Enum):
    """The ways to treat an output file that exists."""

    KEEP = "it is ours and good"
    REPLACE = "it is outdated, damaged, or of a source that comes second"
    YIELD = "another source comes first"


def judge(held: Claim | None, mine: Claim, *, overwrite: bool = False) -> Verdict:
    """Decides who keeps an output that exists, whatever the order of work.

    Args:
        held: The claim that the existing file carries, or None when it cannot be read.
        mine: The claim of the image at hand.
        overwrite: Whether what commands with other inputs made gives way. All of it, equal work too: a file that
            stays would carry their claim, and then another source of this command would take it for theirs.

    Returns:
        `YIELD` to another source of the same command whose place has the smaller digest, and, without `overwrite`, to
        any source that is not among this command's inputs: nobody asked to replace that one's mask. What another
        model or other options made is outdated, whoever's it is: a run meets it only with --overwrite.
    """
    if held is None or (overwrite and held.inputs != mine.inputs):
        return Verdict.REPLACE
    if held.same_work(mine):
        return Verdict.KEEP
    if held.place == mine.place or held.fingerprint != mine.fingerprint:
        return Verdict.REPLACE
    if held.inputs != mine.inputs or held.place < mine.place:
        return Verdict.YIELD
    return Verdict.REPLACE


@dataclass(frozen=True)
class Record:
    """All that a rerun needs to know of an image that is done; travels in its mask.

    Attributes:
        claim: The mask's origin.
        height: Of the source image, in pixels.
        width: Of the source image, in pixels.
        statistics: The image's pixel statistics in their JSON form.
        products: Size in bytes of every other file of this image, by its path below the output, `{}` standing for the
            image's name, which a mask that is handed on must not tell. In older records paths are whole.
        orientation: EXIF orientation of the source image; written down where it is not 1.
        options: Those that mattered to this image and need not matter to others, by flag.
        drawn: How each product was drawn, as digests by its name; nothing where there is none, or in older records.
        grid: Where its pixels lie on the earth, as `grids.py` has it; nothing of a plain picture.
    """

    claim: Claim
    height: int
    width: int
    statistics: dict[str, Any]
    products: dict[str, int] = field(default_factory=dict)
    orientation: int = 1
    options: dict[str, str] = field(default_factory=dict)
    drawn: dict[str, str] = field(default_factory=dict)
    grid: dict[str, Any] = field(default_factory=dict)

    def files(self, name: str) -> dict[str, int]:
        """`products` by whole paths, for an image of this encoded id."""
        return {_path(key, name): size for key, size in self.products.items()}


def _path(key: str, name: str) -> str:
    # Nothing else in it holds braces; an older record of an image `{}` is one that lacks its products.
    return key.replace("{}", name) if key.rpartition("/")[2].startswith("{}.") else key


def claim_text(claim: Claim) -> dict[str, str]:
    """The text of a product."""
    return {TEXT_KEY: _json(vars(claim))}


def record_text(record: Record) -> dict[str, str]:
    """The text of a mask."""
    values = {**vars(record), "claim": vars(record.claim)}
    for name, usual in (("orientation", 1), ("options", {}), ("drawn", {}), ("grid", {})):
        if values[name] == usual:
            del values[name]
    return {TEXT_KEY: _json(values)}


def record_metadata(text: Mapping[str, str]) -> dict[str, str] | None:
    """The metadata of a mask's object, which listings show: the record, unless it is too long."""
    record = text.get(TEXT_KEY, "")
    return {TEXT_KEY: record} if 0 < len(record.encode()) <= METADATA_BYTES else None


def parse_claim(text: str | None) -> Claim | None:
    """The claim in a product's or a mask's text, or None when there is none that can be understood."""
    try:
        values = parse_stored(text or "")
        return _claim(values.get("claim", values))
    except (ValueError, TypeError, AttributeError):
        return None


def parse_record(text: str | None) -> Record | None:
    """The record in a mask's text, or None when there is none that can be understood."""
    try:
        values = parse_stored(text or "")
        record = Record(**{**values, "claim": _claim(values["claim"])})
        return record if _is_sound(record) else None
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _claim(values: Mapping[str, Any]) -> Claim:
    if not all(isinstance(value, str) for value in values.values()):
        raise ValueError("a claim is made of digests")
    return Claim(**values)


def _is_sound(record: Record) -> bool:
    """True if maskbeam can have written a record: it may be data of others, and is used before it is verified."""
    Counted.from_json(record.statistics)
    numbers = (record.height, record.width, *record.products.values())
    texts = (*record.options.values(), *record.drawn.values())
    return (
        record.orientation in range(1, 9)
        and all(map(_is_number, numbers))
        and all(isinstance(text, str) for text in texts)
        and all(map(_stays_within, record.products))
        and is_grid(record.grid)
    )


def _is_number(value: Any) -> bool:
    return type(value) is int and 0 <= value < ENDLESS


def _stays_within(path: str) -> bool:
    folder = path.partition("/")[0]
    # Beside a mask there may be colours and names for programs that show maps.
    known = folder in product_names() or (folder == "masks" and path.endswith(AUX_EXTENSION))
    return known and "\0" not in path and not {"", ".", ".."} & set(path.split("/"))


def _json(values: dict[str, Any]) -> str:
    return json.dumps(values, sort_keys=True, separators=(",", ":"))
