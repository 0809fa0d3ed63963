"""A storage that fails now and then, for soak tests on local files: what `FakeGcs` does to objects."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

from maskbeam.pipeline.storage import Conflict, Listed, Storage, Unavailable
from tests.support.fake_faults import Faults

# What the storage underneath may do by itself to a caller that it never told anything wrong.
LOCAL = ("failed", "lost")


@dataclass(frozen=True)
class FaultyStorage:
    """Passes on to `inner`, except for the calls that `faults` picks.

    `failed`: nothing happens and `Unavailable` is raised. `lost`: the call is carried out, then `Unavailable`
    is raised, as by a process that dies in between. `rival`: somebody else creates the file first.
    """

    inner: Storage
    faults: Faults

    def list(self, pattern: str, *others: str, special: Callable[[], None] | None = None) -> Iterator[Listed]:
        self._before("list", pattern)
        for found in self.inner.list(pattern, *others, special=special):
            self._before("next", found.uri)
            yield found

    def stat(self, uri: str) -> Listed | None:
        self._before("stat", uri)
        return self.inner.stat(uri)

    def look_up(self, uris: Collection[str]) -> Mapping[str, Listed | None]:
        return self.inner.look_up(uris)

    def read(self, uri: str, *, version: str | None = None, limit: int | None = None) -> bytes:
        self._before("read", uri)
        return self.inner.read(uri, version=version, limit=limit)

    def read_ends(self, uri: str, *, head: int, tail: int) -> tuple[bytes, bytes]:
        self._before("read", uri)
        return self.inner.read_ends(uri, head=head, tail=tail)

    def read_versioned(self, uri: str) -> tuple[bytes, str]:
        self._before("read", uri)
        return self.inner.read_versioned(uri)

    def open(self, uri: str, *, start: int = 0, end: int | None = None, version: str | None = None) -> BinaryIO:
        self._before("open", uri)
        return self.inner.open(uri, start=start, end=end, version=version)

    def write(self, uri: str, data: bytes, *, expected: str | None, metadata: Mapping[str, str] | None = None) -> str:
        return self._write(self.inner.write, uri, data, expected, metadata)

    def write_file(
        self, uri: str, path: str, *, expected: str | None, metadata: Mapping[str, str] | None = None
    ) -> str:
        return self._write(self.inner.write_file, uri, path, expected, metadata)

    def _write(
        self,
        write: Callable[..., str],
        uri: str,
        content: bytes | str,
        expected: str | None,
        metadata: Mapping[str, str] | None,
    ) -> str:
        fault = self._before("write", uri)
        if fault == "rival" and expected is None:
            write(uri, content, expected=None, metadata=metadata)
            raise Conflict("injected")
        version = write(uri, content, expected=expected, metadata=metadata)
        self._after(fault)
        return version

    def delete(self, uri: str, *, version: str | None = None) -> None:
        fault = self._before("delete", uri)
        self.inner.delete(uri, version=version)
        self._after(fault)

    def _before(self, call: str, uri: str) -> str:
        fault = self.faults.draw(f"{call} {uri}")
        if fault == "failed" or (fault == "lost" and call not in ("write", "delete")):
            raise Unavailable("injected")
        return fault

    def _after(self, fault: str) -> None:
        if fault == "lost":
            raise Unavailable("injected after it was done")
