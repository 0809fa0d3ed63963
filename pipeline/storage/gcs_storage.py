"""Objects on Google Cloud Storage: one request each way, every byte checked, retries with a limit."""

import base64
import io
import mimetypes
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import google_crc32c
from google.api_core.exceptions import PreconditionFailed, RequestRangeNotSatisfiable

from pipeline.storage import Conflict, Listed, NotFound, SourceChanged, Unavailable, folder_of
from pipeline.storage.gcs_client import blob_of, client, split_uri
from pipeline.storage.gcs_errors import READ, WRITE, CorruptedError, call, no_bucket
from pipeline.storage.gcs_listing import find, listed, look_up
from pipeline.storage.ranged import RangeStream
from pipeline.storage.retry import Attempt, RetryPolicy

_BUFFER = 8 << 20


@dataclass(frozen=True)
class GcsStorage:
    """Objects under `gs://`.

    The checksum (CRC32C) that the service keeps is that of a whole object. It verifies every whole read, every
    stream from an object's first byte to its last, and every upload. It cannot verify a range: what reads ranges
    needs checksums in the data, as TFRecords have them, and reads a range again before it calls it damaged.
    """

    policy: RetryPolicy = field(default_factory=RetryPolicy)

    def list(self, pattern: str) -> Iterator[Listed]:
        return find(pattern, self.stat, self.policy)

    def stat(self, uri: str) -> Listed | None:
        found = call(lambda this: _metadata(uri, this), uri=uri, rights=READ, policy=self.policy)
        return listed(found) if found else None

    def look_up(self, uris: Collection[str]) -> Mapping[str, Listed | None]:
        return look_up(uris, self.policy)

    def read(self, uri: str, *, version: str | None = None, limit: int | None = None) -> bytes:
        return b"" if limit == 0 else self.download(uri, version, end=limit)[0]

    def read_versioned(self, uri: str) -> tuple[bytes, str]:
        data, found = self.download(uri, None)
        return data, str(found.generation)

    def open(self, uri: str, *, start: int = 0, end: int | None = None, version: str | None = None) -> BinaryIO:
        source = _Pinned(self, uri, version, whole=start == 0 and end is None)
        stream = io.BufferedReader(RangeStream(source.fetch, start, end), _BUFFER)
        stream.peek(1)  # an object that is not there shows here, as a local file does
        return stream

    def download(self, uri: str, version: str | None, *, start: int = 0, end: int | None = None) -> tuple[bytes, Any]:
        """The bytes `[start, end)`, and the client's handle with the generation and checksum of the whole object."""
        blob = blob_of(uri, generation=_generation(version, SourceChanged))
        whole = start == 0 and end is None
        part = {} if whole else {"start": start, "end": None if end is None else end - 1}

        def attempt(this: Attempt) -> tuple[bytes, Any]:
            options = {"raw_download": True, "checksum": None, "single_shot_download": True, "retry": None}
            try:
                data = blob.download_as_bytes(timeout=this.timeout, **part, **options)
            except RequestRangeNotSatisfiable:
                return b"", blob
            # Less than was asked for from the first byte on is the whole object, too.
            if whole or (start == 0 and blob.crc32c and len(data) < (end or 0)):
                _verify(data, blob.crc32c)
            return data, blob

        try:
            return call(attempt, uri=uri, rights=READ, policy=self.policy)
        except NotFound:
            if version is not None and self.stat(uri):
                raise SourceChanged("the object was replaced since it was listed") from None
            raise

    def write(self, uri: str, data: bytes, *, expected: str | None, metadata: Mapping[str, str] | None = None) -> str:
        checksum = _encoded(google_crc32c.value(data))
        condition = _generation(expected or "0", Conflict)

        def attempt(this: Attempt) -> str:
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
                found = _metadata(uri, this) if this.number > 1 else None
                if found is None or found.crc32c != checksum:
                    raise
                return str(found.generation)
            if blob.crc32c != checksum:
                raise CorruptedError
            return str(blob.generation)

        try:
            return call(attempt, uri=uri, rights=WRITE, policy=self.policy)
        except NotFound:
            raise no_bucket(split_uri(uri)[0]) from None

    def delete(self, uri: str, *, version: str | None = None) -> None:
        condition = _generation(version, Conflict)

        def attempt(this: Attempt) -> None:
            blob_of(uri).delete(if_generation_match=condition, retry=None, timeout=this.timeout)

        try:
            call(attempt, uri=uri, rights=WRITE, policy=self.policy)
        except NotFound:
            return
        except Conflict:
            if self.stat(uri):
                raise


def _metadata(uri: str, this: Attempt) -> Any:
    bucket, name = split_uri(uri)
    return client().bucket(bucket).get_blob(name, retry=None, timeout=this.timeout)


class _Pinned:
    """Ranges of one object, all from the generation that the first one came from, read in order."""

    def __init__(self, storage: GcsStorage, uri: str, version: str | None, *, whole: bool) -> None:
        self._storage = storage
        self._uri = uri
        self._version = version
        self._checked: int | None = 0 if whole else None
        self._checksum: str | None = None

    def fetch(self, start: int, end: int) -> bytes:
        """The bytes `[start, end)`, fewer at the object's end.

        Raises:
            Unavailable: All bytes were read, and they are not those that were stored.
        """
        data, found = self._storage.download(self._uri, self._version, start=start, end=end)
        self._version = self._version or (str(found.generation) if found.generation else None)
        self._checksum = found.crc32c or self._checksum
        if self._checked is not None:
            self._checked = google_crc32c.extend(self._checked, data)
            ended = len(data) < end - start
            if ended and self._checksum and _encoded(self._checked) != self._checksum:
                raise Unavailable(f"A file in {folder_of(self._uri)} was altered on its way; run again")
        return data


def _generation(version: str | None, error: type[Exception]) -> int | None:
    if version is None:
        return None
    if not version.isdecimal():
        raise error("this is no version of an object")
    return int(version)


def _verify(data: bytes, checksum: str | None) -> None:
    if checksum != _encoded(google_crc32c.value(data)):
        raise CorruptedError


def _encoded(checksum: int) -> str:
    """A CRC32C as Google's headers write it: base64 of its four bytes, highest first."""
    return base64.b64encode(checksum.to_bytes(4, "big")).decode()
