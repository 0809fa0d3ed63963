"""Local files, and whatever is mounted like them."""

import errno
import fcntl
import io
import os
import secrets
import shutil
import stat as modes
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import BinaryIO, TypeVar

from maskbeam.pipeline.storage import (
    Conflict,
    Denied,
    Listed,
    NotFound,
    NotPlain,
    SourceChanged,
    Unreadable,
    absolute,
    folder_of,
    unguarded,
)
from maskbeam.pipeline.storage.local_errors import insist, reading, writing
from maskbeam.pipeline.storage.local_listing import file_or_folder, listed, version_of, walk
from maskbeam.pipeline.storage.patterns import split, split_all
from maskbeam.pipeline.storage.ranged import RangeStream

# A file's bytes reach the disk before its name appears, so that a power cut cannot leave a name on an empty file.
# This costs 0.1 to 0.4 ms of CPU and 1 to 7 ms of waiting a file, which the pools hide. The folder itself is not
# synced: a name that a power cut takes back is a file that the next run writes again.
SYNC_FILES = True

# Without O_NONBLOCK, opening a named pipe would wait for a writer.
_READING = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC

T = TypeVar("T")

_BUFFER = 1 << 20
# What file systems without hard links answer (FAT, many network and FUSE mounts), or with too many of them.
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)


@dataclass(frozen=True)
class LocalStorage:
    """Local files; `staging`, `guard` and `named` are as in `open_storage`.

    Creating a file is atomic against everybody. Replacing one is atomic against rivals on the same machine that use
    this class: file systems have no such exchange, so a lock on the folder stands in for it.
    """

    staging: str | None = None
    guard: Callable[[], None] = unguarded
    named: str | None = None

    def list(self, pattern: str, *others: str, special: Callable[[], None] | None = None) -> Iterator[Listed]:
        if others:
            return walk(split_all([absolute(each) for each in (pattern, *others)], os.path.lexists), special)
        glob = split(absolute(pattern), os.path.lexists)
        return walk(glob, special) if glob.parts or pattern.endswith("/") else file_or_folder(glob, special)

    def stat(self, uri: str) -> Listed | None:
        try:
            with reading(self._place(uri)):
                found = insist(lambda: os.stat(uri))
        except NotFound:
            return None
        return listed(uri, found) if modes.S_ISREG(found.st_mode) else None

    def look_up(self, uris: Collection[str]) -> Mapping[str, Listed | None]:
        return {}  # nothing is cheaper than to ask for each

    def read(self, uri: str, *, version: str | None = None, limit: int | None = None) -> bytes:
        return self._read(uri, version, limit)[0]

    def read_ends(self, uri: str, *, head: int, tail: int) -> tuple[bytes, bytes]:
        first, last, _ = self._read(uri, None, head, tail)
        return first, last

    def read_versioned(self, uri: str) -> tuple[bytes, str]:
        data, _, version = self._read(uri, None, None)
        return data, version

    def _read(self, uri: str, version: str | None, limit: int | None, tail: int = 0) -> tuple[bytes, bytes, str]:
        with reading(self._place(uri)):
            return insist(lambda: _read_once(uri, version, limit, tail, self._place))

    def open(self, uri: str, *, start: int = 0, end: int | None = None, version: str | None = None) -> BinaryIO:
        with reading(self._place(uri)):
            descriptor, found = insist(lambda: _open_checked(uri, version))

        def fetch(first: int, stop: int) -> bytes:
            with reading(self._place(uri)):
                data = insist(lambda: os.pread(descriptor, stop - first, first))
                _check_version(os.fstat(descriptor), version_of(found))
            if data and first + len(data) > found.st_size:
                raise _endless(self._place(uri), found)
            return data

        return io.BufferedReader(RangeStream(fetch, start, end, close=lambda: os.close(descriptor)), _BUFFER)

    def write(self, uri: str, data: bytes, *, expected: str | None, metadata: Mapping[str, str] | None = None) -> str:
        return self._put(uri, lambda staged: _write_synced(staged, data), expected)

    def write_file(
        self, uri: str, path: str, *, expected: str | None, metadata: Mapping[str, str] | None = None
    ) -> str:
        return self._put(uri, lambda staged: _link_or_copy(path, staged), expected)

    def _put(self, uri: str, stage: Callable[[str], None], expected: str | None) -> str:
        """Makes a whole file under another name by `stage`, which may be called again, and then gives it its own."""
        # Hidden from listings beside final files; not so in a folder of its own, which the next run empties.
        token = secrets.token_hex(12)
        staged = f"{self.staging}/{token}" if self.staging else f"{folder_of(uri)}/.{token}"
        with writing(self._place(uri)):
            try:
                _making_folders(staged, lambda: insist(lambda: stage(staged)))
                # After what may take long: the process may have been stopped in it.
                self.guard()
                if expected is None:
                    return _making_folders(uri, lambda: _create(staged, uri))
                return _replace(staged, uri, expected)
            finally:
                with suppress(OSError):
                    insist(lambda: os.unlink(staged))

    def delete(self, uri: str, *, version: str | None = None) -> None:
        self.guard()
        with writing(self._place(uri)), suppress(FileNotFoundError, NotADirectoryError):
            insist(lambda: _delete(uri, version))

    def _place(self, uri: str) -> str:
        """The name of a file in messages."""
        return self.named or folder_of(uri)


def _delete(uri: str, version: str | None) -> None:
    with _locked(folder_of(uri)):
        if version not in (None, version_of(os.stat(uri))):
            raise Conflict("the file to be deleted is another one now")
        os.unlink(uri)


def _read_once(
    uri: str, version: str | None, limit: int | None, tail: int, place: Callable[[str], str]
) -> tuple[bytes, bytes, str]:
    """The first bytes of a file, its last `tail` ones, and its version."""
    descriptor, found = _open_checked(uri, version)
    try:
        # One byte more than there is said to be tells a file that has no end.
        most = found.st_size + 1
        data = _read_up_to(descriptor, most if limit is None else min(limit, most))
        last = _last(descriptor, data, found.st_size, tail) if tail else b""
        _check_version(os.fstat(descriptor), version_of(found))
    finally:
        os.close(descriptor)
    if len(data) > found.st_size:
        raise _endless(place(uri), found)
    return data, last, version_of(found)


def _last(descriptor: int, data: bytes, size: int, tail: int) -> bytes:
    """The last bytes of a file of this size that begins with `data`, read where `data` does not hold them."""
    start = max(0, size - tail)
    return data[start:] if len(data) >= size else os.pread(descriptor, size - start, start)


def _endless(place: str, found: os.stat_result) -> Unreadable:
    return Unreadable(
        f"A file in {place} gives more than the {found.st_size} bytes that it is said to have, as files of the "
        "system's do that have no end; name another one"
    )


def _open_checked(uri: str, version: str | None) -> tuple[int, os.stat_result]:
    descriptor = os.open(uri, _READING)
    try:
        found = os.fstat(descriptor)
        if not modes.S_ISREG(found.st_mode):
            raise NotPlain("this is not a plain file")
        _check_version(found, version)
    except (OSError, NotFound, SourceChanged):
        os.close(descriptor)
        raise
    return descriptor, found


def _read_up_to(descriptor: int, limit: int) -> bytes:
    # Two calls for most files, where a file object takes five: reruns read the masks of millions.
    first = os.read(descriptor, min(limit, _BUFFER)) if limit else b""
    if not first or len(first) == limit:
        return first
    stream = io.BytesIO(first)  # gives out what it holds without a copy
    stream.seek(len(first))
    while stream.tell() < limit and (piece := os.read(descriptor, min(limit - stream.tell(), _BUFFER))):
        stream.write(piece)
    return stream.getvalue()


def _check_version(found: os.stat_result, version: str | None) -> None:
    if version not in (None, version_of(found)):
        raise SourceChanged("the file was altered since it was listed")


def _write_synced(path: str, data: bytes) -> None:
    # Nobody else uses this name; where writing it is tried again, the whole file is.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        remaining = memoryview(data)
        while remaining:
            remaining = remaining[file.write(remaining) :]
        if SYNC_FILES:
            os.fsync(descriptor)


def _link_or_copy(path: str, staged: str) -> None:
    try:
        os.link(path, staged)
    except FileExistsError:
        # A link that was reported as failed may have been made all the same.
        if not _is_same(path, staged):
            raise
    except OSError as error:
        if error.errno not in (*_NO_LINKS, errno.EXDEV):
            raise
        shutil.copyfile(path, staged)
    if SYNC_FILES:
        descriptor = os.open(staged, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _making_folders(path: str, action: Callable[[], T]) -> T:
    try:
        return action()
    except FileNotFoundError:
        insist(lambda: _make_folder(folder_of(path)))
        return action()


def _make_folder(folder: str) -> None:
    try:
        os.makedirs(folder, exist_ok=True)
    except FileNotFoundError as error:
        # Folders above are made first, so one is missing where a file system takes none at all, such as /proc.
        above = folder_of(str(error.filename))
        if not os.path.isdir(above):
            raise
        raise Denied(f"{above} takes no new folders, so {folder} cannot be made; choose another folder") from None


def _create(staged: str, path: str) -> str:
    try:
        insist(lambda: os.link(staged, path))
    except FileExistsError:
        # A link that was reported as failed may have been made all the same.
        if not _is_same(staged, path):
            raise Conflict("the file to be created exists") from None
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _create_without_links(staged, path)
        return version_of(insist(lambda: os.stat(path)))
    return version_of(insist(lambda: os.stat(staged)))


def _is_same(staged: str, path: str) -> bool:
    try:
        return insist(lambda: os.path.samefile(staged, path))
    except FileNotFoundError:
        return False


def _create_without_links(staged: str, path: str) -> None:
    # The name is claimed by an empty file, which the whole one then replaces. A death between the two leaves the
    # empty file, which the next run takes for what it is: damaged.
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
    except FileExistsError:
        raise Conflict("the file to be created exists") from None
    os.replace(staged, path)


def _replace(staged: str, path: str, expected: str) -> str:
    try:
        with _locked(folder_of(path)):
            found = insist(lambda: os.stat(path))
            if version_of(found) != expected:
                raise Conflict("the file to be replaced is another one now")
            # The clock of file times stands still for milliseconds; versions of one name must differ all the same.
            later = max(insist(lambda: os.stat(staged)).st_mtime_ns, found.st_mtime_ns + 1)
            insist(lambda: os.utime(staged, ns=(later, later)))
            version = version_of(insist(lambda: os.stat(staged)))
            insist(lambda: os.replace(staged, path))
            return version
    except (FileNotFoundError, NotADirectoryError):
        raise Conflict("the file to be replaced is gone") from None


@contextmanager
def _locked(folder: str) -> Iterator[None]:
    descriptor = insist(lambda: os.open(folder, os.O_RDONLY | os.O_CLOEXEC))
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
