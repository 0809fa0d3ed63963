"""Errors of one image, errors of a whole run, and the codes under which failures are reported."""

from collections.abc import Iterator
from enum import StrEnum
from typing import TypeVar

# Of failures that another try, or another set of inputs, may end well for.
_BY_ITSELF = ("every run",)


class Code(StrEnum):
    """The failures that an input can end in. Scripts may rely on the words; both tables of the docs are made of this.

    Attributes:
        wrong: What is wrong, as `docs/formats.md` says it.
        record: The same of "the image or record", as `docs/faults.md` says it.
        helps: What to do about it.
        passing: Whether it may pass by itself, with another try or another set of inputs: every run tries it again.
        options: Options and versions that are a reason to try again once they have changed, besides all that masks
            depend on: names in `settings.mending_of`.
    """

    wrong: str
    record: str
    helps: str
    passing: bool
    options: tuple[str, ...]

    def __new__(cls, word: str, wrong: str, record: str, helps: str, again: tuple[str, ...] = ()) -> "Code":
        """A member: a text, its word, that carries what is said of it."""
        code = str.__new__(cls, word)
        code._value_ = word
        code.wrong, code.record, code.helps = wrong, record, helps
        code.passing = again is _BY_ITSELF
        code.options = () if code.passing else again
        return code

    UNREADABLE = (
        "UNREADABLE",
        "damaged, cut short, empty, or no image, or a JPEG of over 100 scans",
        "is damaged, cut off, or no image, or a JPEG of over 100 scans",
        "a new copy of it",
        ("decoder",),
    )
    UNSUPPORTED_FORMAT = (
        "UNSUPPORTED_FORMAT",
        "an image, but of a format, compression or colour space that is not read (DICOM, camera raws, TIFFs in "
        "LERC, ...); or by its name an overview, mask or thumbnail of another image",
        "is of a format that is not decoded, whatever it is called",
        "convert it to PNG, JPEG or TIFF",
        ("decoder",),
    )
    TOO_LARGE = (
        "TOO_LARGE",
        "more pixels than `--max_pixels`, a file of over 1 GiB, one strip or tile of over 256 MB, or an overlay of "
        "over 65,535 pixels a side",
        "has more than `--max_pixels` pixels, or more bytes or memory than can be had",
        "`--max_pixels`, or cut it into tiles",
        ("decoder", "--max_pixels", "--products"),
    )
    BAD_CHANNELS = (
        "BAD_CHANNELS",
        "not the model's number of channels, and no rule to get there; two files for one band; with `--background`, "
        "a band that may or may not be transparency",
        "has other channels than the model takes, two files for one band, or under `--background` a band that may be "
        "near infrared as well as transparency",
        "convert it; put a pattern with braces in quotes; leave out `--background`",
        ("decoder", "--background"),
    )
    GRID_MISMATCH = (
        "GRID_MISMATCH",
        "a band in a file of its own lies on another grid than the first one: another CRS, origin or size, or pixels "
        "that are not a whole number of times as large; or with `--aoi`, an image without a place on the earth",
        "has bands that do not cover the same ground in pixels that fit into each other, or no place for `--aoi`",
        "resample that band to the first one's grid; name the finest first",
        ("decoder",),
    )
    BAD_VALUE_RANGE = (
        "BAD_VALUE_RANGE",
        "values outside the declared range, NaN, or a type that has no range and needs `--input_range`",
        "has values that are not 8 or 16 bits and no known range",
        "`--input_range LO,HI`, `--out_of_range clip`",
        ("decoder", "--input_range", "--out_of_range"),
    )
    BAD_SHAPE = (
        "BAD_SHAPE",
        "stretching would lose detail or shape: over 16 times the model's pixels, or the aspect changed by over 1.5",
        "would be distorted beyond use",
        "`--resize letterbox`, or `--resize stretch` if it is meant",
        ("--resize",),
    )
    BAD_ID = (
        "BAD_ID",
        "its name is empty, or one that the output's storage does not take: too long, or with characters that its"
        " file system refuses",
        "has no name, or one that the output's storage does not take",
        "`--id_root`, or other names",
        ("--name_key", "--id_root"),
    )
    OUTPUT_BLOCKED = (
        "OUTPUT_BLOCKED",
        "what lies in the output in the place of one of its files is no file that can be read",
        "has, in the place of one of its files in the output, a folder, a link to nothing or a file that cannot "
        "be read",
        "remove that, run again",
        _BY_ITSELF,
    )
    DUPLICATE_ID = (
        "DUPLICATE_ID",
        "another input has the same id and other bytes, and keeps it",
        "has the id of another input, of this command or an earlier one, with other content",
        "`--keep_extension` or `--id_root`, for records `--name_key`; if the other is of an earlier command, also"
        " `--overwrite`",
        _BY_ITSELF,
    )
    ID_FREED = (
        "ID_FREED",
        "a mask whose own source is no input any more kept its id; the next run makes this one",
        "had lost its id to a mask whose source, an earlier input of the same command, is gone: renamed, "
        "converted, moved in its shard; that mask gives way",
        "run again",
        _BY_ITSELF,
    )
    MISSING_KEY = (
        "MISSING_KEY",
        "the record lacks the image's key; the reason names those of its keys that everybody uses, such as "
        "`image/encoded`, and counts the others",
        "lacks the key with the image; the reason names those of its keys that everybody uses, and counts the others",
        "`--image_key`",
    )
    BAD_EXAMPLE = (
        "BAD_EXAMPLE",
        "a record is no `tf.train.Example`, or a feature is of another type",
        "is a record that is no `tf.train.Example`; the reason names a `tf.train.SequenceExample`",
        "write the shard again",
        ("decoder",),
    )
    DAMAGED_RECORD = (
        "DAMAGED_RECORD",
        "part of a TFRecord shard is damaged; the records before and after it are read",
        "is a damaged place of a shard; all intact records around it are done",
        "write the shard again",
        ("decoder",),
    )
    RAW_TYPE = (
        "RAW_TYPE",
        "a raw tensor whose values' type is not told by `--raw_type`, or told wrongly",
        "is a raw tensor of values of several bytes, and nobody said of which type",
        "`--raw_type`",
        _BY_ITSELF,
    )
    SOURCE_MISSING = (
        "SOURCE_MISSING",
        "gone since it was listed, or a band's file was never there, or it cannot be read: no permission, a file "
        "system that fails, a file that "
        "gives more bytes than its size says (as those below `/proc` do)",
        "was listed and is gone, lacks the file of a band, or cannot be read",
        "give this user the right to read it, or repair the storage; run again",
        _BY_ITSELF,
    )
    SOURCE_CHANGED = (
        "SOURCE_CHANGED",
        "altered while it was read",
        "kept changing while it was read",
        "run again when nobody writes to it",
        _BY_ITSELF,
    )
    SHARD_UNREAD = (
        "SHARD_UNREAD",
        "a shard, or a range of one, that could not be read to its end: gone, unreadable, or altered meanwhile",
        "is all that is left of a shard, or of 64 MB of one, from a place on where it is gone, unreadable or was "
        "altered while it was read: no `_SUCCESS`, and exit code 3, whatever `--max_failures` says",
        "repair the storage, run again",
        _BY_ITSELF,
    )
    NONFINITE = (
        "NONFINITE",
        "NaN among the model's scores; `--nonfinite ignore` gives these pixels the ignore label instead",
        "made the model emit NaN",
        "`--nonfinite ignore` gives those pixels the ignore label",
        ("--nonfinite",),
    )
    MODEL_FAILED = (
        "MODEL_FAILED",
        "the model raised an error on this image alone, or gave a class id that the class table lacks",
        "made the model raise an error, also alone",
        "look at that image, then at the model",
    )
    OUT_OF_MEMORY = (
        "OUT_OF_MEMORY",
        "the model ran out of memory on this image alone, or decoding it takes more than there is",
        "did not fit the memory, also alone, or would not, by its header",
        "a machine with more of it",
        _BY_ITSELF,
    )
    OTHER_OPTIONS = (
        "OTHER_OPTIONS",
        "its mask was made with another value of an option that mattered to this image; the reason names both",
        "has a mask that was made with another `--input_range`, `--background`, `--orientation` or `--nonfinite`,"
        " and it mattered to it",
        "the value that the reason names, or `--overwrite`, which makes these masks again and keeps the others",
        _BY_ITSELF,
    )
    REFERENCE_SIZE = (
        "REFERENCE_SIZE",
        "the truth or old label is of quite another size than the mask, not just smaller or larger",
        "has a truth or an old label of quite another size, in a comparison",
        "give the reference of this very image",
    )
    REFERENCE_VALUE = (
        "REFERENCE_VALUE",
        "the truth or old label holds a value, or a colour, that is neither a class nor ignored; the reason has the "
        "value and the number of its pixels",
        "has a truth or an old label with a value that is neither a class nor ignored",
        "a row for it in the table of the reference's classes, with an empty `as` where it is to be left out",
    )
    REFERENCE_UNREADABLE = (
        "REFERENCE_UNREADABLE",
        "the truth or old label is damaged, lossy, or of a format that is not read",
        "has a truth or an old label that cannot be read",
        "a new copy of it; PNG, TIFF, BMP or GIF",
    )
    REFERENCE_GRID = (
        "REFERENCE_GRID",
        "the truth or old label is a GeoTIFF on another grid than the mask; the reason says what differs",
        "is a scene whose truth or old label lies on another grid",
        "bring the reference onto the grid of the mask",
    )
    HANG = (
        "HANG",
        "decoding it, or the model, did not come to an end",
        "was being decoded or predicted when that did not come to an end",
        "look at that image; `--retry_failed`",
        ("decoder", "--isolate_decoding"),
    )
    CRASH = (
        "CRASH",
        "the decoder or the model crashed on it",
        "made the decoder or the model crash",
        "look at that image; `--retry_failed`",
        ("decoder", "--isolate_decoding"),
    )


class MaskbeamError(Exception):
    """The base of all errors that maskbeam raises of its own."""


Kind = TypeVar("Kind", bound=MaskbeamError)


class ImageError(MaskbeamError):
    """One image cannot be done; it goes to the failures report and everything else goes on.

    Attributes:
        code: What kind of failure it is.
        reason: One sentence for a person. Never holds content of the image or of its record, nor its name.
    """

    def __init__(self, code: Code, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason

    def __reduce__(self) -> tuple[type["ImageError"], tuple[Code, str]]:
        return type(self), (self.code, self.reason)


class RunError(MaskbeamError):
    """The run cannot go on, or must not start: a wrong option, model, class table or permission.

    The message names what is wrong, with which value, and what to do about it; it is printed as it is.
    """


class TooManyFailuresError(RunError):
    """So many images fail that the run is stopped early; exit code 3."""


def kinds_of(base: type[Kind]) -> Iterator[type[Kind]]:
    """A class of errors and all its subclasses that have been imported."""
    yield base
    for kind in base.__subclasses__():
        yield from kinds_of(kind)
