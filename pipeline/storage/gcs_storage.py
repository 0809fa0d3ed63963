"""Objects on Google Cloud Storage: one request each way, every byte checked, retries with a limit."""

import io
import mimetypes
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, BinaryIO

import google_crc32c
from google.api_core.exceptions import NotFound as GoogleNotFound
from google.api_core.exceptions import PreconditionFailed

from maskbeam.pipeline.storage import Conflict, Listed, NotFound, SourceChanged, Unavailable, folder_of, unguarded
from maskbeam.pipeline.storage.gcs_client import blob_of, client, split_uri
from maskbeam.pipeline.storage.gcs_download import Part, download, encoded
from maskbeam.pipeline.storage.gcs_errors import READ, WRITE, call, no_bucket
from maskbeam.pipeline.storage.gcs_listing import checked, find, find_any, listed, look_up
from maskbeam.pipeline.storage.gcs_upload import PIECE_BYTES, Upload
from maskbeam.pipeline.storage.ranged import RangeStream
from maskbeam.pipeline.storage.retry import Attempt, RetryPolicy, UnfitAnswerError

_BUFFER = 8 << 20
# Objects up to this size are read whole where both their ends are asked for.
_WHOLE = 1 << 20


@dataclass(frozen=True)
class GcsStorage:
    """Objects under `gs://`.

    The checksum (CRC32C) that the service keeps is that of a whole object. It verifies every whole read, every part
    that turns out to be the whole, every stream from an object's first byte to its last, and every upload. It cannot
    verify another part: what reads parts needs checksums in the data, as TFRecords have them, and reads a part again
    before it calls it damaged.
    """

    policy: RetryPolicy = field(default_factory=RetryPolicy)
    guard: Callable[[], None] = unguarded
    named: str | None = None

    def list(self, pattern: str, *others: str, special: Callable[[], None] | None = None) -> Iterator[Listed]:
        return (
            find_any((pattern, *others), self.stat, self.policy) if others else find(pattern, self.stat, self.policy)
        )

    def stat(self, uri: str) -> Listed | None:
        found = call(lambda this: _resource(uri, this), place=self.place(uri), rights=READ, policy=self.policy)
        return listed(split_uri(uri)[0], found) if found else None

    def look_up(self, uris: Collection[str]) -> Mapping[str, Listed | None]:
        return look_up(uris, self.policy)

    def read(self, uri: str, *, version: str | None = None, limit: int | None = None) -> bytes:
        return b"" if limit == 0 else self.download(uri, version, end=limit).data

    def read_ends(self, uri: str, *, head: int, tail: int) -> tuple[bytes, bytes]:
        # Whole where it is small: a second request takes longer than the bytes between, and parts have no checksum.
        first = self.download(uri, None, end=max(head + tail, _WHOLE))
        if len(first.data) == first.size:
            return first.data[:head], first.data[max(0, first.size - tail) :]
        try:
            last = self.download(uri, first.generation, start=first.size - tail).data if tail else b""
        except SourceChanged:
            # Replaced between the two.
            return self.read_ends(uri, head=head, tail=tail)
        return first.data[:head], last

    def read_versioned(self, uri: str) -> tuple[bytes, str]:
        found = self.download(uri, None)
        return found.data, found.generation

    def open(self, uri: str, *, start: int = 0, end: int | None = None, version: str | None = None) -> BinaryIO:
        source = _Pinned(self, uri, version, whole=start == 0 and end is None)
        stream = io.BufferedReader(RangeStream(source.fetch, start, end), _BUFFER)
        stream.peek(1)  # an object that is not there shows here, as a local file does
        return stream

    def download(self, uri: str, version: str | None, *, start: int = 0, end: int | None = None) -> Part:
        """The bytes `[start, end)`, fewer at the object's end."""
        generation = _generation(version, SourceChanged)

        def attempt(this: Attempt) -> Part:
            part = download(uri, generation, start, end, this)
            return part if part is not None else _nothing(uri, generation, start, this)

        try:
            return call(attempt, place=self.place(uri), rights=READ, policy=self.policy)
        except NotFound:
            if version is not None and self.stat(uri):
                raise SourceChanged("the object was replaced since it was listed") from None
            raise

    def write(self, uri: str, data: bytes, *, expected: str | None, metadata: Mapping[str, str] | None = None) -> str:
        checksum = encoded(google_crc32c.value(data))
        condition = _generation(expected or "0", Conflict)

        def attempt(this: Attempt) -> str:
            self.guard()
            blob = blob_of(uri)
            # Declared up front, so that the service refuses what was altered on its way, of large uploads too.
            blob.crc32c = checksum
            if metadata:
                blob.metadata = dict(metadata)
            options = {"content_type": mimetypes.guess_type(uri)[0], "checksum": "crc32c", "timeout": this.timeout}
            try:
                blob.upload_from_string(data, if_generation_match=condition, retry=None, **options)
            except PreconditionFailed:
                # An earlier attempt may have been carried out and only its answer lost.
                found = _resource(uri, this) if this.number > 1 else None
                if found is None or found.get("crc32c") != checksum:
                    raise
                return str(found["generation"])
            if blob.crc32c != checksum or not blob.generation:
                raise UnfitAnswerError("it stored other bytes than it was sent")
            return str(blob.generation)

        try:
            return call(attempt, place=self.place(uri), rights=WRITE, policy=self.policy)
        except NotFound:
            raise no_bucket(split_uri(uri)[0]) from None

    def write_file(
        self, uri: str, path: str, *, expected: str | None, metadata: Mapping[str, str] | None = None
    ) -> str:
        if os.path.getsize(path) <= PIECE_BYTES:
            with open(path, "rb") as file:
                return self.write(uri, file.read(), expected=expected, metadata=metadata)
        kind, condition = mimetypes.guess_type(uri)[0], _generation(expected or "0", Conflict) or 0
        look, place = partial(_resource, uri), self.place(uri)
        try:
            return Upload(uri, path, condition, metadata, kind, self.guard, look, place, self.policy).run()
        except NotFound:
            raise no_bucket(split_uri(uri)[0]) from None

    def place(self, uri: str) -> str:
        """The name of an object in messages; see `open_storage`."""
        return self.named or folder_of(uri)

    def delete(self, uri: str, *, version: str | None = None) -> None:
        condition = _generation(version, Conflict)

        def attempt(this: Attempt) -> None:
            self.guard()
            blob_of(uri).delete(if_generation_match=condition, retry=None, timeout=this.timeout)

        try:
            call(attempt, place=self.place(uri), rights=WRITE, policy=self.policy)
        except NotFound:
            return
        except Conflict:
            if self.stat(uri):
                raise


def _resource(uri: str, this: Attempt, *, generation: int | None = None) -> dict[str, Any] | None:
    """An object's metadata as the service tells it."""
    query = {"generation": str(generation)} if generation is not None else {}
    try:
        found = client()._get_resource(blob_of(uri).path, query_params=query, retry=None, timeout=this.timeout)
    except GoogleNotFound:
        return None
    return checked(found, prefix=split_uri(uri)[1], whole=True)


def _nothing(uri: str, generation: int | None, start: int, this: Attempt) -> Part:
    """No bytes from `start` on, where the object's metadata say so, too: else what lies there would be lost."""
    found = _resource(uri, this, generation=generation)
    if found is None:
        raise NotFound("there is no such object")
    if start < int(found["size"]):
        raise UnfitAnswerError("that there is nothing where an object has bytes")
    return Part(b"", str(found["generation"]), str(found.get("crc32c", "")), int(found["size"]))


class _Pinned:
    """Ranges of one object, all from the generation that the first one came from, read in order."""

    def __init__(self, storage: GcsStorage, uri: str, version: str | None, *, whole: bool) -> None:
        self._storage = storage
        self._uri = uri
        self._version = version
        self._checked: int | None = 0 if whole else None
        self._size: int | None = None

    def fetch(self, start: int, end: int) -> bytes:
        """The bytes `[start, end)`, fewer at the object's end.

        Raises:
            Unavailable: All bytes were read, and they are not those that were stored.
        """
        if self._size is not None and start >= self._size:
            return b""
        found = self._storage.download(self._uri, self._version, start=start, end=end)
        self._version, self._size = found.generation, found.size
        if self._checked is not None:
            self._checked = google_crc32c.extend(self._checked, found.data)
            if start + len(found.data) == found.size and encoded(self._checked) != found.checksum:
                raise Unavailable(f"A file in {self._storage.place(self._uri)} was altered on its way; run again")
        return found.data


def _generation(version: str | None, error: type[Exception]) -> int | None:
    if version is None:
        return None
    if not version.isdecimal():
        raise error("this is no version of an object")
    return int(version)
