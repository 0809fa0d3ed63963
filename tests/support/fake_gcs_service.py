"""Buckets and what the API of Google Cloud Storage does to them, without HTTP."""

import base64
import itertools
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import google_crc32c


def crc32c_of(data: bytes) -> str:
    return base64.b64encode(google_crc32c.value(data).to_bytes(4, "big")).decode()


class RefusalError(Exception):
    """An answer with an error status."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True)
class Stored:
    data: bytes
    generation: int
    metadata: Mapping[str, str]
    content_type: str

    def resource(self, bucket: str, name: str) -> dict[str, Any]:
        plain = {"bucket": bucket, "name": name, "size": str(len(self.data)), "generation": str(self.generation)}
        checked = {"crc32c": crc32c_of(self.data), "contentType": self.content_type}
        return plain | checked | ({"metadata": dict(self.metadata)} if self.metadata else {})


@dataclass
class Service:
    """The buckets, and what the API does to them."""

    buckets: dict[str, dict[str, Stored]] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)
    generations: Iterator[int] = field(default_factory=lambda: itertools.count(1_700_000_000_000_001))

    def objects(self, bucket: str) -> dict[str, Stored]:
        if bucket not in self.buckets:
            raise RefusalError(404, "The specified bucket does not exist.")
        return self.buckets[bucket]

    def get(self, bucket: str, name: str, query: Mapping[str, str]) -> Stored:
        found = self.objects(bucket).get(name)
        if found is None or query.get("generation", str(found.generation)) != str(found.generation):
            raise RefusalError(404, f"No such object: {bucket}/{name}")
        return found

    def store(self, bucket: str, name: str, data: bytes) -> None:
        """Puts an object there as anybody may, without a request."""
        self.put(bucket, {"name": name}, data, {})

    def put(self, bucket: str, resource: dict[str, Any], data: bytes, query: Mapping[str, str]) -> dict[str, Any]:
        name = resource["name"]
        with self.lock:
            self._check(self.objects(bucket).get(name), query)
            if resource.get("crc32c", crc32c_of(data)) != crc32c_of(data):
                raise RefusalError(400, f"Provided CRC32C doesn't match calculated CRC32C {crc32c_of(data)}.")
            if sum(len((key + value).encode()) for key, value in (resource.get("metadata") or {}).items()) > 8192:
                raise RefusalError(400, "The size of the custom metadata exceeds 8192 bytes.")
            kind = resource.get("contentType", "application/octet-stream")
            stored = Stored(data, next(self.generations), resource.get("metadata") or {}, kind)
            self.objects(bucket)[name] = stored
            return stored.resource(bucket, name)

    def delete(self, bucket: str, name: str, query: Mapping[str, str]) -> None:
        with self.lock:
            self._check(self.get(bucket, name, {}), query)
            del self.objects(bucket)[name]

    def list(self, bucket: str, query: Mapping[str, str]) -> dict[str, Any]:
        prefix, delimiter, token = query.get("prefix", ""), query.get("delimiter"), query.get("pageToken", "")
        start, end = query.get("startOffset", "").encode(), query.get("endOffset", "").encode()
        size = min(int(query.get("maxResults", 1000)), 1000)
        items: list[dict[str, Any]] = []
        page = {"kind": "storage#objects", "items": items}
        prefixes: set[str] = set()
        last = ""
        with self.lock:
            names = sorted((name for name in self.objects(bucket) if start <= name.encode()), key=str.encode)
        for name in names:
            if not name.startswith(prefix) or name.encode() <= token.encode() or (end and name.encode() >= end):
                continue
            if len(items) == size:
                return page | {"prefixes": sorted(prefixes), "nextPageToken": last}
            last = name
            below, cut, _ = name.removeprefix(prefix).partition(delimiter) if delimiter else ("", "", "")
            if cut:
                prefixes.add(prefix + below + cut)
            else:
                items.append(self.objects(bucket)[name].resource(bucket, name))
        return page | {"prefixes": sorted(prefixes)}

    @staticmethod
    def _check(found: Stored | None, query: Mapping[str, str]) -> None:
        expected = query.get("ifGenerationMatch")
        if expected is not None and expected != str(found.generation if found else 0):
            raise RefusalError(412, "At least one of the pre-conditions you specified did not hold.")
