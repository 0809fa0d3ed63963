"""A storage in a dict, for tests of what is built on storage."""

from collections.abc import Callable, Collection, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from maskbeam.pipeline.storage import Conflict, Listed, NotFound


class MemoryStorage:
    def __init__(self) -> None:
        self.files: dict[str, tuple[bytes, int]] = {}
        self._versions = 0

    def list(self, pattern: str, *others: str, special: Callable[[], None] | None = None) -> Iterator[Listed]:
        for uri, (data, version) in sorted(self.files.items()):
            if uri.startswith((pattern, *others)):
                yield Listed(uri, len(data), str(version))

    def stat(self, uri: str) -> Listed | None:
        return next(iter(self.list(uri)), None) if uri in self.files else None

    def look_up(self, uris: Collection[str]) -> Mapping[str, Listed | None]:
        return {uri: self.stat(uri) for uri in uris}

    def read(self, uri: str, *, version: str | None = None, limit: int | None = None) -> bytes:
        return self.read_versioned(uri)[0][:limit]

    def read_ends(self, uri: str, *, head: int, tail: int) -> tuple[bytes, bytes]:
        data = self.read(uri)
        return data[:head], data[max(0, len(data) - tail) :]

    def read_versioned(self, uri: str) -> tuple[bytes, str]:
        if uri not in self.files:
            raise NotFound(uri)
        data, version = self.files[uri]
        return data, str(version)

    def open(self, uri: str, *, start: int = 0, end: int | None = None, version: str | None = None) -> BinaryIO:
        return BytesIO(self.read(uri)[start:end])

    def write(self, uri: str, data: bytes, *, expected: str | None, metadata: Mapping[str, str] | None = None) -> str:
        if (str(self.files[uri][1]) if uri in self.files else None) != expected:
            raise Conflict(uri)
        self._versions += 1
        self.files[uri] = (data, self._versions)
        return str(self._versions)

    def write_file(
        self, uri: str, path: str, *, expected: str | None, metadata: Mapping[str, str] | None = None
    ) -> str:
        return self.write(uri, Path(path).read_bytes(), expected=expected, metadata=metadata)

    def delete(self, uri: str, *, version: str | None = None) -> None:
        if uri in self.files:
            if version is not None and str(self.files[uri][1]) != version:
                raise Conflict(uri)
            del self.files[uri]
