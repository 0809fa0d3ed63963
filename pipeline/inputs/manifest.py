"""Manifests: files that list inputs, as plain text, CSV or JSON lines.

- Text (`.txt`): one URI a line; a line of `#` and a blank is a comment.
- CSV (`.csv`): a header with a column `uri` and, if wanted, `id`; other columns are ignored.
- JSON lines (`.jsonl`, `.json-lines`, `.jsonlines`, `.ndjson`): objects with `uri` and, if wanted, `id`. A list of
  URIs is one image whose bands are files of their own; `bands` is then, if wanted, the list of their names.

Reports of a run are manifests as they are: `source` (CSV) and `where` (JSON lines) stand for `uri`, and what was done
to texts for the sake of spreadsheets is undone.

Blank lines are skipped. A URI that is relative starts at the manifest's folder. Every URI names one file as it is,
and is no pattern; or else one image as reports name it: `shard-uri#offset`, or several files by braces.
"""

import csv
import json
import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from maskbeam.pipeline.inputs.containers.kinds import extension_of
from maskbeam.pipeline.storage import folder_of, is_gcs
from maskbeam.pipeline.text.csv_text import cell_text
from maskbeam.transforms.elements import Companion
from maskbeam.transforms.errors import RunError

# Not every `#`: names may begin with it, and what is listed must not be left out without a word.
_COMMENT = re.compile(r"#\s|#\Z")
# The number of a line, and its cells by column, among them `uri`, and `id` and `bands` if there are any.
_Fields = tuple[int, Mapping[str, Any]]
# What the place of an image may be called, and columns that reports alone have.
_PLACES = ("uri", "source", "where")
_OF_REPORTS = frozenset({"source", "rank"})
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


class Line(NamedTuple):
    """One input of a manifest.

    Attributes:
        number: Its number in the file.
        uri: The URI made absolute; of several files that of the first.
        image_id: Its id; `""`: by its path.
        bands: Its files where they are several, without versions.
        reference: The URI of its truth or old label made absolute; `""` where it has none.
    """

    number: int
    uri: str
    image_id: str
    bands: tuple[Companion, ...] = ()
    reference: str = ""


def parse_manifest(uri: str, data: bytes, *, column: str = "") -> Iterator[Line]:
    """The inputs that a manifest lists.

    Args:
        uri: The manifest's own URI: its extension tells the format, its folder is where relative URIs start.
        data: Its content, UTF-8; stray bytes in names are kept.
        column: The one that names references, in CSV in lower case; empty: none.

    Raises:
        RunError: A line is wrong; the message has its number and what it must be.
    """
    if b"\0" in data:
        raise RunError(f"manifest {uri!r} holds NUL bytes; write it as UTF-8 text")
    lines = data.decode("utf-8-sig", "surrogateescape").replace("\r\n", "\n").split("\n")
    parse = {".txt": _text, ".csv": _csv}.get(extension_of(uri), _json_lines)
    for number, cells in parse(lines, uri):
        target: Any = cells.get("uri")
        image_id, names = cells.get("id"), cells.get("bands")
        targets = target if isinstance(target, list) else [target]
        if not targets or not all(each and isinstance(each, str) for each in targets):
            raise _error(uri, number, "has no uri")
        if not isinstance(image_id, str | int | None) or isinstance(image_id, bool):
            raise _error(uri, number, "has an id that is no text")
        files = [_resolve(uri, number, each) for each in targets]
        bands = _bands(uri, number, files, names)
        named = "" if image_id is None else str(image_id)
        reference = _reference(uri, number, cells.get(column)) if column else ""
        yield Line(number, files[0], named, bands if len(files) > 1 else (), reference)


def _reference(manifest: str, number: int, target: Any) -> str:
    if not isinstance(target, str | None):
        raise _error(manifest, number, "has a reference that is no text")
    return _resolve(manifest, number, target) if target else ""


def _bands(manifest: str, number: int, files: list[str], names: Any) -> tuple[Companion, ...]:
    if len(set(files)) < len(files):
        raise _error(manifest, number, "lists a file twice")
    if len({file.split("/")[2] if is_gcs(file) else "" for file in files}) > 1:
        raise _error(manifest, number, "lists files of several buckets as one image")
    if names is None:
        return tuple(Companion(file, "") for file in files)
    words = names if isinstance(names, list) and all(each and isinstance(each, str) for each in names) else []
    if len(words) != len(files) or len(set(words)) != len(words):
        raise _error(manifest, number, "has bands that are not a list of names, a different one for each uri")
    return tuple(Companion(file, "", name=name) for file, name in zip(files, words, strict=True))


def _error(uri: str, number: int, what: str) -> RunError:
    return RunError(f"manifest {uri!r}, line {number}: {what}; correct the line or take it out")


def _text(lines: list[str], uri: str) -> Iterator[_Fields]:
    return (
        (number, {"uri": line}) for number, line in enumerate(lines, 1) if line.strip() and not _COMMENT.match(line)
    )


def _csv(lines: list[str], uri: str) -> Iterator[_Fields]:
    rows = csv.reader((line + "\n" for line in lines), strict=True)
    try:
        header = [name.strip().lower() for name in next(filter(_holds_something, rows), [])]
        place = next((name for name in _PLACES if name in header), "uri")
        if header.count(place) != 1 or header.count("id") > 1:
            raise _error(uri, rows.line_num, "the header must have one column named uri and at most one named id")
        read = cell_text if _OF_REPORTS.intersection(header) else str
        for row in filter(_holds_something, rows):
            if len(row) != len(header):
                raise _error(uri, rows.line_num, f"{len(row)} fields where the header has {len(header)}")
            fields = dict(zip(header, map(read, row), strict=True))
            yield rows.line_num, {**fields, "uri": fields[place], "bands": None}
    except csv.Error as error:
        raise _error(uri, rows.line_num, str(error)) from None


def _holds_something(row: list[str]) -> bool:
    return any(map(str.strip, row))


def _json_lines(lines: list[str], uri: str) -> Iterator[_Fields]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            raise _error(uri, number, "is no JSON") from None
        if not isinstance(entry, dict):
            raise _error(uri, number, 'is no object like {"uri": "a.jpg"}')
        place = next((name for name in _PLACES if name in entry), "uri")
        yield number, {**entry, "uri": entry.get(place)}


def _resolve(manifest: str, number: int, target: str) -> str:
    if is_gcs(target):
        return target
    scheme = _SCHEME.match(target)
    if scheme:
        raise _error(manifest, number, f"{scheme[0]} is not supported; use a path or gs://bucket/path")
    if target.startswith("/"):
        return posixpath.normpath(target)
    folder = folder_of(manifest)
    if not is_gcs(manifest):
        return posixpath.normpath(f"{folder}/{target}")
    bucket, _, path = f"{folder}/{target}".removeprefix("gs://").partition("/")
    dotted = {".", ".."} & set(path.split("/"))
    return f"gs://{bucket}/" + (posixpath.normpath(f"/{path}").lstrip("/") if dotted else path)
