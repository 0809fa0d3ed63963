"""Walks local folders in the order of whole names, holding one folder's names at a time."""

import errno
import logging
import os
import stat
from collections.abc import Callable, Iterator

from maskbeam.pipeline.storage import Listed, NotFound
from maskbeam.pipeline.storage.local_errors import REFUSED, insist, listing, refused
from maskbeam.pipeline.storage.patterns import AnyGlob, Glob

_log = logging.getLogger(__name__)
# Marks a pipe, a socket or a device, also one that a link leads to; no name holds it.
_SPECIAL = "\0"


def listed(path: str, found: os.stat_result) -> Listed:
    """A listing's line from a file's status."""
    return Listed(path, found.st_size, version_of(found))


def version_of(found: os.stat_result) -> str:
    """Size in bytes and modification time in nanoseconds."""
    return f"{found.st_size}-{found.st_mtime_ns}"


def walk(glob: Glob | AnyGlob, special: Callable[[], None] | None = None) -> Iterator[Listed]:
    """All files that `glob` means, sorted by name.

    Links to folders are followed, but never into a folder above and each target only once, so that loops end.
    A broken link is listed with size 0 and can then not be read: an input that is lost must show up.

    Raises:
        RunError: A folder cannot be listed.
    """
    root = glob.fixed + "/"
    links = _Links(root)
    stack = [("", _names(root, glob.fixed or "/"))]
    while stack:
        folder, names = stack[-1]
        if not names:
            stack.pop()
            continue
        path = folder + names.pop()
        parts = path.rstrip("/\0").split("/")
        if not path.endswith("/"):
            if glob.matches(parts):
                yield from _file(root + path, special)
        elif glob.may_hold(parts) and links.enter(root + path, depth=len(stack)):
            stack.append((path, _names(root + path, glob.fixed or "/", below=True)))
    if links.skipped:
        what = "a link to a folder" if links.skipped == 1 else f"{links.skipped:,} links to folders"
        _log.warning("left out %s: what is there was listed already", what)


def file_or_folder(glob: Glob, special: Callable[[], None] | None = None) -> Iterator[Listed]:
    """The file that a pattern without wildcards names, or all files of the folder."""
    try:
        found = insist(lambda: os.stat(glob.fixed))
    except OSError as error:
        if error.errno in REFUSED:
            # Nobody can tell a file from a folder here, and a folder's images would be lost without a word.
            raise refused(error, os.path.dirname(glob.fixed)) from None
        yield from _lost(glob.fixed, error)
        return
    if stat.S_ISREG(found.st_mode):
        yield listed(glob.fixed, found)
    else:
        yield from walk(glob, special)


def _names(folder: str, named: str, *, below: bool = False) -> list[str]:
    """The entries of a folder in reverse, so that the first is popped first; folders and special files are marked.

    Messages name `named`, which the user typed, whether it is this folder or one above it.
    """
    try:
        with listing(named, below=below):
            names = insist(lambda: _scan(folder))
    except NotFound:
        return []
    # Folders sort with their slash, so that the walk's order is that of whole names, as in object storage.
    return sorted(names, reverse=True)


def _scan(folder: str) -> list[str]:
    with os.scandir(folder) as entries:
        return [_name(entry) for entry in entries if not entry.name.startswith(".")]


def _name(entry: os.DirEntry[str]) -> str:
    try:
        if insist(entry.is_dir):
            return entry.name + "/"
        plain = insist(entry.is_file) or (entry.is_symlink() and not os.path.exists(entry.path))
    except OSError:  # a link that points to itself, say: listed, so that its loss shows
        plain = True
    return entry.name if plain else entry.name + _SPECIAL


def _file(path: str, special: Callable[[], None] | None) -> Iterator[Listed]:
    if path.endswith(_SPECIAL):
        if special:
            special()
        return
    try:
        yield listed(path, insist(lambda: os.stat(path)))
    except OSError as error:
        yield from _lost(path, error)


def _lost(path: str, error: OSError) -> Iterator[Listed]:
    # What has vanished since its folder was read is no input. What is there and does not answer, or is a link to
    # nothing, is an input that is lost.
    if error.errno not in (errno.ENOENT, errno.ENOTDIR) or os.path.islink(path):
        yield Listed(path, 0, "0-0")


class _Links:
    """The folders that a walk may enter: links only to targets that are neither above them nor were linked before.

    Attributes:
        skipped: Links that were not followed.
    """

    def __init__(self, root: str) -> None:
        self.skipped = 0
        self._above = [_identity(root)]
        self._linked: set[tuple[int, int]] = set()

    def enter(self, folder: str, *, depth: int) -> bool:
        """True if the listing goes into `folder`, which lies `depth` folders below the root."""
        identity = _identity(folder)
        del self._above[depth:]
        # Of a folder that does not answer nothing is known; listing it says what is wrong.
        if identity and os.path.islink(folder.rstrip("/")):
            if identity in self._above or identity in self._linked:
                self.skipped += 1
                return False
            self._linked.add(identity)
        self._above.append(identity)
        return True


def _identity(folder: str) -> tuple[int, int] | None:
    try:
        found = insist(lambda: os.stat(folder))
    except OSError:
        return None
    return found.st_dev, found.st_ino
