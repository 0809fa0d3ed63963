"""Class tables from the files that people have; the kind is told by content, and by name where that leaves doubt."""

import difflib
from collections.abc import Callable

from maskbeam.pipeline.classes.class_csv import is_csv, read_csv
from maskbeam.pipeline.classes.class_json import read_json
from maskbeam.pipeline.classes.class_pbtxt import is_pbtxt, read_pbtxt
from maskbeam.pipeline.classes.class_rows import Rows, build_table
from maskbeam.pipeline.classes.class_text import (
    is_color_list,
    is_labelmap,
    read_color_list,
    read_labelmap,
    read_names,
)
from maskbeam.pipeline.classes.class_yaml import is_yaml, read_yaml
from maskbeam.pipeline.classes.known_classes import known_names, known_table
from maskbeam.pipeline.storage import NotFound, NotPlain, SourceChanged, absolute, open_storage
from maskbeam.transforms.classes.class_table import ClassTable, generated_table
from maskbeam.transforms.errors import RunError

Read = Callable[[str], bytes]


def load_class_table(spec: str | None, *, channels: int, read: Read, sigmoid: bool = False) -> ClassTable:
    """The class table of a model.

    Args:
        spec: A file, the name of a public table (`known_names()`), or None for generated names and colours.
        channels: The model's number of classes; 2 for a model with one channel of probability.
        read: Gives a file's content.
        sigmoid: Whether the model has one channel, which says foreground or background.

    Returns:
        A table of `channels` classes; its `notes` say what was assumed.

    Raises:
        RunError: The file cannot be read or is wrong, or lists another number of classes than the model has.
    """
    if spec is None:
        return generated_table(channels, sigmoid=sigmoid)
    table = read_class_table(spec, channels=channels, read=read)
    table.check_channels(channels)
    return table


def read_class_table(spec: str, *, read: Read, channels: int | None = None) -> ClassTable:
    """Like `load_class_table`, before the model is known: the count is not compared."""
    known = known_table(spec, channels)
    return known or build_table(parse_classes(_content(spec, read), spec), spec)


def _content(spec: str, read: Read) -> str:
    try:
        data = read(spec)
    except (NotFound, OSError) as error:
        close = difflib.get_close_matches(spec, known_names(), n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"tables known by name: {', '.join(known_names())}"
        raise RunError(f"--classes {spec}: there is no such file; {hint}") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise RunError(f"{spec}, line {line}: not UTF-8 text; save the file as UTF-8") from error


def parse_classes(text: str, name: str) -> Rows:
    """Reads a class file's text; `name` is the file's, for its ending and for messages.

    Raises:
        RunError: Names the file, the place and the value.
    """
    ending = name.rsplit(".", 1)[-1].lower()
    if ending in ("yaml", "yml"):
        return read_yaml(text, name)
    if ending == "json" or (text.lstrip()[:1] in ("{", "[") and ending not in ("csv", "tsv", "names")):
        return read_json(text, name)
    if ending == "pbtxt" or is_pbtxt(text):
        return read_pbtxt(text, name)
    if is_labelmap(text):
        return read_labelmap(text, name)
    if ending in ("csv", "tsv") or is_csv(text):
        return read_csv(text, name)
    if is_color_list(text):
        return read_color_list(text, name)
    return read_yaml(text, name) if is_yaml(text) else read_names(text, name)


_MAX_FILE_BYTES = 64 << 20  # of what a user names beside images and models, such as class tables


def read_file(path: str) -> bytes:
    """A file that the user named, local or not.

    Raises:
        NotFound: There is none.
        RunError: It is too large to be what is read so, no plain file, or altered while it was read.
    """
    uri = absolute(path)
    found = open_storage(uri).stat(uri)
    if found and found.size > _MAX_FILE_BYTES:
        raise RunError(
            f"{path} has {found.size >> 20} MiB, and may have {_MAX_FILE_BYTES >> 20}; is it the right file?"
        )
    try:
        return open_storage(uri).read(uri)
    except NotPlain:
        raise RunError(f"{path} is a folder, a pipe or a device, where a file is wanted; save it to one") from None
    except SourceChanged:
        raise RunError(f"{path} was altered while it was read; run again when nobody writes to it") from None
