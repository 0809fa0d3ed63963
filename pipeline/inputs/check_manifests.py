"""A manifest whose lines are no files is refused before work starts, before each line fails by itself.

Usual cases: lists of pairs of image and mask, of names without extensions, of folders, of patterns.
"""

import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from maskbeam.pipeline.inputs.braces import expanded
from maskbeam.pipeline.inputs.containers.kinds import MANIFEST_EXTENSIONS, extension_of
from maskbeam.pipeline.inputs.find_inputs import record_named
from maskbeam.pipeline.inputs.manifest import Line, parse_manifest
from maskbeam.pipeline.storage import LOST, Listed, SourceChanged, Storage, find_file, folder_of, open_storage
from maskbeam.pipeline.text.wording import plural
from maskbeam.transforms.codecs.registry import image_extension
from maskbeam.transforms.errors import RunError

_LINES = 8
_BYTES = 1 << 18  # more than so many lines can have
_SEPARATOR = re.compile(r"[\s,;|]")
_GLOB = re.compile(r"[*?\[]")
_MOST_NAMES = 16


_NO_QUOTES = str.maketrans("", "", "\"'")


def check_manifests(patterns: Iterable[str]) -> None:
    """Looks whether one of the first lines of each manifest is a file. A single one that is missing is no error.

    Args:
        patterns: Absolute, as the user named them.

    Raises:
        RunError: None of them is; says what the first one is, and what to do.
    """
    for pattern in patterns:
        if extension_of(pattern) in MANIFEST_EXTENSIONS:
            storage = open_storage(pattern)
            for listed in storage.list(pattern):
                if extension_of(listed.uri) in MANIFEST_EXTENSIONS:
                    _check(storage, listed)


def _check(storage: Storage, manifest: Listed) -> None:
    lines = _first_lines(storage, manifest)
    with ThreadPoolExecutor(_LINES) as pool:
        if not lines or any(pool.map(_is_there, lines)):
            return
    first = lines[0]
    which = (
        "the only line names no file"
        if len(lines) == 1
        else f"none of the first {plural(len(lines), 'line')} names a file"
    )
    raise RunError(
        f"--input {manifest.uri}: {which} that is there; line {first.number} {_explained(first.uri, manifest.uri)}"
    )


def _is_there(line: Line) -> bool:
    record = record_named(line.uri)
    return find_file(record[0] if record else line.uri) is not None


def _first_lines(storage: Storage, manifest: Listed) -> list[Line]:
    try:
        head = storage.read(manifest.uri, limit=_BYTES)
    except (*LOST, SourceChanged):
        return []  # whoever lists it says so
    whole = head if len(head) < _BYTES else head[: head.rfind(b"\n") + 1]
    return list(islice(parse_manifest(manifest.uri, whole), _LINES))


def _explained(uri: str, manifest: str) -> str:
    """The kind of a line that is no file, without repeating it."""
    if _first_of(f"{uri.rstrip('/')}/"):
        return "is a folder: give it to --input itself, all images below it are taken"
    if (_GLOB.search(uri) or expanded(uri)) and _first_of(uri):
        return "is a pattern: give it to --input itself"
    if any(find_file(bare) for bare in {uri.rstrip(), uri.translate(_NO_QUOTES).rstrip()} - {uri}):
        return "has quotes around the name of a file, or spaces behind it: remove them"
    ends = islice((match.start() for match in _SEPARATOR.finditer(uri)), _MOST_NAMES)
    if any(find_file(uri[:end]) for end in ends):
        return (
            "holds more than the name of a file: list one name a line, or write a CSV with a header and a column uri"
        )
    if not _GLOB.search(uri) and image_extension(_first_of(f"{uri}.*")):
        return "is a name without its extension: write whole names, as in a.jpg"
    return f"is no file: write whole names; those that are relative start at {folder_of(manifest)}/"


def _first_of(pattern: str) -> str:
    found = next(iter(open_storage(pattern).list(*(expanded(pattern) or [pattern]))), None)
    return found.uri if found else ""
