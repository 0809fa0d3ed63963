"""Local files, and whatever is mounted like them."""

import errno
import io
import os
import secrets
import stat as modes
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO

from pipeline.local_errors import reading, writing
from pipeline.local_listing import listed, version_of, walk
from pipeline.patterns import split
from pipeline.ranged import RangeStream
from pipeline.storage import Conflict, Listed, NotFound, SourceChanged, absolute, folder_of

# A file's bytes reach the disk before its name appears, so that a power cut cannot leave a name on an empty file. The
# folder itself is not synced: a name that a power cut takes back is a file that the next run writes again.
SYNC_FILES = True

_BUFFER = 1 << 20
# What file systems without hard links answer (FAT, many network and FUSE mounts), or with too many of them.
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)


@dataclass(frozen=True)
class LocalStorage:
    """Local files; `staging` is as in `open_storage`.

    Creating a file is atomic against rivals. Replacing one is not quite: the expected version is checked
    just before the new file takes the name, because file systems offer no such exchange.
    """

    staging: str | None = None

    def list(self, pattern: str) -> Iterator[Listed]:
        glob = split(absolute(pattern), os.path.lexists)
        if not glob.parts and not pattern.endswith("/") and not os.path.isdir(glob.fixed):
            found = self.stat(glob.fixed)
            return iter([found] if found else [])
        return walk(glob)

    def stat(self, uri: str) -> Listed | None:
        try:
            with reading(uri):
                found = os.stat(uri)
        except NotFound:
            return None
        return listed(uri, found) if modes.S_ISREG(found.st_mode) else None

    def read(self, uri: str, *, version: str | None = None, limit: int | None = None) -> bytes:
        return self._read(uri, version, limit)[0]

    def read_versioned(self, uri: str) -> tuple[bytes, str]:
        return self._read(uri, None, None)

    def _read(self, uri: str, version: str | None, limit: int | None) -> tuple[bytes, str]:
        with reading(uri), os.fdopen(_open_plain(uri), "rb") as file:
            before = _checked_version(file.fileno(), version)
            data = file.read(-1 if limit is None else limit)
            return data, _checked_version(file.fileno(), before)

    def open(self, uri: str, *, start: int = 0, end: int | None = None, version: str | None = None) -> BinaryIO:
        with reading(uri):
            descriptor = _open_plain(uri)
            try:
                opened = _checked_version(descriptor, version)
            except SourceChanged:
                os.close(descriptor)
                raise

        def fetch(first: int, stop: int) -> bytes:
            with reading(uri):
                data = os.pread(descriptor, stop - first, first)
                _checked_version(descriptor, opened)
                return data

        return io.BufferedReader(RangeStream(fetch, start, end, close=lambda: os.close(descriptor)), _BUFFER)

    def write(self, uri: str, data: bytes, *, expected: str | None, metadata: Mapping[str, str] | None = None) -> str:
        staged = f"{self.staging or folder_of(uri)}/.{secrets.token_hex(12)}"
        with writing(uri):
            try:
                version = _making_folders(staged, lambda: _write_synced(staged, data))
                if expected is None:
                    return _making_folders(uri, lambda: _create(staged, uri, version))
                return _replace(staged, uri, expected, version)
            finally:
                with suppress(OSError):
                    os.unlink(staged)

    def delete(self, uri: str, *, version: str | None = None) -> None:
        with writing(uri), suppress(FileNotFoundError, NotADirectoryError):
            if version is not None and version_of(os.stat(uri)) != version:
                raise Conflict("the file to be deleted is another one now")
            os.unlink(uri)


def _open_plain(path: str) -> int:
    # Without O_NONBLOCK, opening a named pipe would wait for a writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if modes.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise NotFound("this is not a plain file")


def _checked_version(descriptor: int, version: str | None) -> str:
    found = version_of(os.fstat(descriptor))
    if version not in (None, found):
        raise SourceChanged("the file was altered since it was listed")
    return found


def _write_synced(path: str, data: bytes) -> str:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        remaining = memoryview(data)
        while remaining:
            remaining = remaining[file.write(remaining) :]
        if SYNC_FILES:
            os.fsync(descriptor)
        return version_of(os.fstat(descriptor))


def _making_folders(path: str, action: Callable[[], str]) -> str:
    try:
        return action()
    except FileNotFoundError:
        os.makedirs(folder_of(path), exist_ok=True)
        return action()


def _create(staged: str, path: str, version: str) -> str:
    try:
        os.link(staged, path)
    except FileExistsError:
        raise Conflict("the file to be created exists") from None
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return _create_without_links(staged, path)
    return version


def _create_without_links(staged: str, path: str) -> str:
    # The name is claimed by an empty file, which the whole one then replaces. A death between the two leaves the
    # empty file, which the next run takes for what it is: damaged.
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
    except FileExistsError:
        raise Conflict("the file to be created exists") from None
    os.replace(staged, path)
    return version_of(os.stat(path))


def _replace(staged: str, path: str, expected: str, version: str) -> str:
    try:
        found = version_of(os.stat(path))
    except (FileNotFoundError, NotADirectoryError):
        found = "nothing"
    if found != expected:
        raise Conflict("the file to be replaced is another one now")
    os.replace(staged, path)
    return version
