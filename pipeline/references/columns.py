"""References that the manifest of a run names beside its images: `column:NAME`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from typing import ClassVar

from maskbeam.pipeline.inputs.containers.kinds import extension_of
from maskbeam.pipeline.inputs.manifest import parse_manifest
from maskbeam.pipeline.output.finished_rows import FinishedImage
from maskbeam.pipeline.references.files import storage_of
from maskbeam.pipeline.references.reader import Located, ReferenceReader, Wanted, read_file, stat_all
from maskbeam.pipeline.storage import LOST, SourceChanged, absolute
from maskbeam.transforms.comparison.reference import ReferencePixels, decode_reference
from maskbeam.transforms.elements import Source
from maskbeam.transforms.errors import RunError

PREFIX = "column:"
_lock = Lock()


@dataclass(frozen=True)
class ColumnReferences(ReferenceReader):
    """Files that a column of manifests names.

    Attributes:
        column: Its name.
        manifests: URIs of the manifests, each with the version in which it was looked at.
        flag: The option that named them, for messages.
    """

    column: str
    manifests: tuple[tuple[str, str], ...]
    flag: str
    by_source: ClassVar[bool] = True

    def versions(self, images: Sequence[FinishedImage]) -> Mapping[str, Located]:
        named = named_in(self.manifests, self.column, self.flag)
        uris = {image.image_id: uri for image in images if (uri := named.get(bytes.fromhex(image.place)))}
        if not uris:
            return {}
        found = stat_all(storage_of(next(iter(uris.values())), self.flag), uris.values())
        return {image_id: found[uri] for image_id, uri in uris.items() if uri in found}

    def read(self, located: Located) -> ReferencePixels:
        return decode_reference(read_file(storage_of(located.where, self.flag), located))


def named_in(manifests: tuple[tuple[str, str], ...], column: str, flag: str) -> Mapping[bytes, str]:
    """The files that a column names, by the digest of where the image lies; once for a process.

    Raises:
        RunError: A manifest cannot be read, was altered, is wrong, or has no such column.
    """
    with _lock:
        return _named_in(manifests, column, flag)


@lru_cache(maxsize=2)
def _named_in(manifests: tuple[tuple[str, str], ...], column: str, flag: str) -> Mapping[bytes, str]:
    found: dict[bytes, str] = {}
    for uri, version in manifests:
        try:
            data = storage_of(uri, flag).read(uri, version=version)
        except LOST:
            raise RunError(f"{flag} {PREFIX}{column}: the manifest {uri!r} cannot be read") from None
        except SourceChanged:
            raise RunError(f"{flag} {PREFIX}{column}: the manifest {uri!r} was altered; run again") from None
        name = column.strip().lower() if extension_of(uri) == ".csv" else column
        for line in parse_manifest(uri, data, column=name):
            if line.reference:
                found[bytes.fromhex(Source(line.uri, "").place)] = line.reference
    return found


def is_column(word: str) -> bool:
    """True of `column:NAME`."""
    return word.startswith(PREFIX)


def column_references(wanted: Wanted) -> ColumnReferences:
    """The references that a column of manifests names.

    Raises:
        RunError: No name, no manifest, or nothing in that column.
    """
    flag, word, column = wanted.flag, wanted.where, wanted.where.removeprefix(PREFIX)
    if not column or not wanted.inputs:
        raise RunError(
            f"{flag} {word}: an output does not keep where its manifest lies; say column:NAME and --input MANIFEST, "
            "the one that the run read"
        )
    listed = [(uri, storage_of(uri, flag).stat(uri)) for uri in map(absolute, wanted.inputs)]
    missing = [uri for uri, found in listed if found is None]
    if missing:
        raise RunError(f"{flag} {word}: there is no manifest {missing[0]!r}")
    found = ColumnReferences(column, tuple((uri, each.version) for uri, each in listed if each), flag)
    if not named_in(found.manifests, column, flag):
        raise RunError(f"{flag} {word}: no manifest has anything in a column of this name")
    return found
