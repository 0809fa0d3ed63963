"""Files and objects behind one interface: local paths and `gs://` URIs, told apart by the URI alone.

Errors hold no object's name in their text, because names may identify patients and texts end up in logs. Nor do they
hold names of folders that the user has not typed: these may be called after patients, too.
"""
# ruff: noqa: N818 - `NotFound` says what `NotFoundError` says.

import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from maskbeam.transforms.errors import MaskbeamError, RunError

# With one slash, too, which is what is left of a URI that somebody has tidied as a path.
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+")
_UNSAFE_PART = re.compile(r"\A\.{0,2}\Z|[\\\x00]")


class NotFound(MaskbeamError):
    """There is no such file or object, or it is not a plain file."""


class NotPlain(NotFound):
    """It is there, and is a folder, a pipe, a socket or a device."""


class Conflict(MaskbeamError):
    """The file is not in the state that the writer expected; nothing was changed."""


class SourceChanged(MaskbeamError):
    """The file was replaced or altered since it was listed."""


class Denied(RunError):
    """Storage refuses access; the message says where and what to grant."""


class Unavailable(RunError):
    """Storage kept failing for as long as we were ready to try."""


class Unreadable(RunError):
    """One file cannot be read, others may: the fault of one input, and the end of a run that needs this very file."""


# What costs one input where it is raised for that input's file.
LOST = (NotFound, Unreadable)


@dataclass(frozen=True, slots=True)
class Listed:
    """A file as a listing shows it.

    Attributes:
        uri: Absolute path, or `gs://` URI.
        size: In bytes.
        version: An object's generation, or a file's size and modification time.
        metadata: An object's custom metadata; None for local files.
    """

    uri: str
    size: int
    version: str
    metadata: Mapping[str, str] | None = None


class Storage(Protocol):
    """The interface that local files and objects share. Thread-safe, cheap to open, can be pickled.

    Every method raises `Denied` when access is refused and `Unavailable` when storage keeps failing; those that read
    raise `Unreadable` where that holds for one local file, or where it gives more bytes than it is said to have.
    """

    def list(self, pattern: str, *others: str, special: Callable[[], None] | None = None) -> Iterator[Listed]:
        """All files of a folder (recursive), of a glob (`*`, `?`, `[..]`, `**`), or one file; sorted by name.

        What exists under a name such as `b[1]`, which as a glob would not match itself, is taken as a name. Below the
        part before the first glob, hidden files and folders (leading dot) are skipped. A pattern that matches
        nothing gives an empty listing. `special` is called for each pipe, socket and device that the pattern matches.
        With `others`, patterns of the same bucket: files that any of them means, each once, by one listing. A pattern
        without a glob is then one file, and hidden are skipped below the folders that all patterns begin with.
        """

    def stat(self, uri: str) -> Listed | None:
        """One file's listing, or None when there is no such file."""

    def look_up(self, uris: Collection[str]) -> Mapping[str, Listed | None]:
        """The answers of `stat` for these files, for as many as can be told for less than asking for each.

        The others are left out: all of them where asking is cheap, or where the names lie too far apart.
        """

    def read(self, uri: str, *, version: str | None = None, limit: int | None = None) -> bytes:
        """A file's content, or its first `limit` bytes.

        Raises:
            NotFound: There is no such file.
            SourceChanged: `version` is given and the file is another one now.
        """

    def read_ends(self, uri: str, *, head: int, tail: int) -> tuple[bytes, bytes]:
        """A file's first `head` bytes and its last `tail`, which overlap in a short one; both of one version."""

    def read_versioned(self, uri: str) -> tuple[bytes, str]:
        """A file's content, and the version that this content is."""

    def open(self, uri: str, *, start: int = 0, end: int | None = None, version: str | None = None) -> BinaryIO:
        """The bytes `[start, end)`, read forwards and always from one version. Raises what `read` raises."""

    def write(self, uri: str, data: bytes, *, expected: str | None, metadata: Mapping[str, str] | None = None) -> str:
        """Writes a whole file atomically and returns its new version; makes folders as needed.

        Args:
            uri: Where to, made by `join`.
            data: The whole content.
            expected: The version to replace; None to create only.
            metadata: Custom metadata of an object; local files have none.

        Raises:
            Conflict: What is there is not `expected`.
        """

    def write_file(
        self, uri: str, path: str, *, expected: str | None, metadata: Mapping[str, str] | None = None
    ) -> str:
        """Writes what lies in a local file, as `write` does, in pieces: it may be larger than memory.

        The file stays and is its owner's to remove; it must not be changed any more, for where it lies on the same
        file system both names may be of one file.
        """

    def delete(self, uri: str, *, version: str | None = None) -> None:
        """Removes a file if it is there; with `version` only that one, else raises `Conflict`."""


def unguarded() -> None:
    """Lets everything be written."""


def open_storage(
    uri: str, *, staging: str | None = None, guard: Callable[[], None] = unguarded, named: str | None = None
) -> Storage:
    """The storage that `uri` lies in.

    Args:
        uri: Any path or `gs://` URI in it.
        staging: Folder for local files that are not complete yet, on the file system that they are written to;
            None: hidden files beside the final ones.
        guard: Called right before a file appears or is removed; what it raises keeps that from happening.
        named: What messages name in place of a file; None: its folder.

    Raises:
        RunError: The URI's scheme is not supported.
    """
    if is_gcs(uri):
        from maskbeam.pipeline.storage.gcs_storage import GcsStorage

        return GcsStorage(guard=guard, named=named)
    _check_scheme(uri)
    from maskbeam.pipeline.storage.local_storage import LocalStorage

    return LocalStorage(staging, guard, named)


def open_input(uri: str) -> Storage:
    """The storage of an input; messages name the bucket at most, because a folder may be called after a patient."""
    return open_storage(uri, named="/".join(uri.split("/")[:3]) if is_gcs(uri) else "--input")


def find_file(uri: str) -> Listed | None:
    """An input's listing, or None where there is no such file, or none that lets itself be looked at."""
    try:
        return open_input(uri).stat(uri)
    except Unreadable:
        return None


def is_gcs(uri: str) -> bool:
    """True if a URI names an object on Google Cloud Storage."""
    return uri.startswith("gs://")


def absolute(uri: str) -> str:
    """A path or pattern as it reads from any working directory, as listings show it; keeps a trailing slash.

    Raises:
        RunError: It is a URI of another scheme: taken for a path it would be a folder `s3:` here.
    """
    if is_gcs(uri) and uri.removeprefix("gs://").strip("/"):
        return uri
    _check_scheme(uri)
    path = os.path.abspath(uri)
    return path + "/" if uri.endswith("/") and path != "/" else path


def _check_scheme(uri: str) -> None:
    scheme = _SCHEME.match(uri)
    if scheme and is_gcs(uri):
        raise RunError(f"{uri!r} names no bucket; write gs://bucket/path")
    if scheme:
        raise RunError(f"{scheme[0]} is not supported in {uri!r}; use a local path or gs://bucket/path")


def join(root: str, relative: str) -> str:
    """The URI of `relative` below `root`.

    Raises:
        ValueError: `relative` could leave the root (`..`, an absolute path, a drive letter, a backslash, NUL), or has
            an empty component, which some storages fold.
    """
    if any(_UNSAFE_PART.search(part) for part in relative.split("/")) or re.match("[A-Za-z]:", relative):
        raise ValueError("a path that is not plainly below its root was refused")
    return f"{root.rstrip('/')}/{relative}"


def folder_of(uri: str) -> str:
    """The folder that a file lies in."""
    return uri.rpartition("/")[0] or "/"
