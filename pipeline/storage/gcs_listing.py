"""Lists objects on Google Cloud Storage, holding one page at a time."""

import os
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

from pipeline.storage import Listed, NotFound
from pipeline.storage.gcs_client import client, split_uri
from pipeline.storage.gcs_errors import READ, call, no_bucket
from pipeline.storage.patterns import EVERYTHING, Glob, split
from pipeline.storage.retry import Attempt, RetryPolicy

_PAGE = 1000
_FIELDS = "items(name,size,generation,metadata),nextPageToken"
# A page is billed like a dozen reads, so one that tells of fewer names than that is wasted. A few of these are met
# where the names come in clumps; after that they are taken to lie far apart.
_PAGE_WORTH = 12
_WASTED_PAGES = 3

Stat = Callable[[str], Listed | None]


def listed(blob: Any) -> Listed:
    """A listing's line from an object's metadata."""
    return Listed(f"gs://{blob.bucket.name}/{blob.name}", blob.size, str(blob.generation), blob.metadata or {})


def find(pattern: str, stat: Stat, policy: RetryPolicy) -> Iterator[Listed]:
    """All objects that `pattern` means, sorted by name, as `Storage.list` says.

    Raises:
        RunError: There is no such bucket.
    """
    bucket, name = split_uri(pattern)
    glob = split(name, lambda path: _exists(bucket, path, stat, policy))
    plain = not glob.parts and name and not name.endswith("/")
    found = stat(pattern) if plain else None
    if found:
        yield found
    else:
        yield from _below(bucket, glob, policy)


def look_up(uris: Collection[str], policy: RetryPolicy) -> dict[str, Listed | None]:
    """What is there of objects in one bucket, as `Storage.look_up` says; listings are consistent with writes.

    Raises:
        RunError: There is no such bucket.
    """
    told: dict[str, Listed | None] = {}
    left, wasted = sorted(set(uris)), 0
    while len(left) >= _PAGE_WORTH and wasted < _WASTED_PAGES:
        found, end = _range(left[0], left[-1], policy)
        count = bisect_right(left, end)
        told |= {uri: found.get(uri) for uri in left[:count]}
        left = left[count:]
        wasted += count < _PAGE_WORTH
    return told


def _range(first: str, last: str, policy: RetryPolicy) -> tuple[dict[str, Listed], str]:
    """The first page of the objects from `first` to `last`, and the name up to which it shows all that there is."""
    bucket, start = split_uri(first)
    stop = split_uri(last)[1]
    # The end is exclusive. What lies between a name and the same name with a "!" is listed for nothing, and harmless.
    prefix = os.path.commonprefix([start, stop])  # noqa: RUF071 - character by character, as the service compares
    page, token = _Pages(bucket, {"prefix": prefix, "start_offset": start, "end_offset": stop + "!"}, policy).page(
        None
    )
    found = {entry.uri: entry for entry in map(listed, page)}
    return found, max(found, default="") if token else last


def _exists(bucket: str, path: str, stat: Stat, policy: RetryPolicy) -> bool:
    first_page = _Pages(bucket, {"prefix": path + "/", "max_results": 1}, policy)
    return stat(f"gs://{bucket}/{path}") is not None or bool(next(iter(first_page)))


def _below(bucket: str, glob: Glob, policy: RetryPolicy) -> Iterator[Listed]:
    # With a delimiter the service leaves out what lies in deeper folders.
    flat = len(glob.parts) == 1 and glob.parts[0] != EVERYTHING
    query = {"prefix": glob.prefix, "delimiter": "/"} if flat else {"prefix": glob.prefix}
    skip = len(glob.fixed) + 1 if glob.fixed else 0
    for page in _Pages(bucket, query, policy):
        for blob in page:
            placeholder = blob.size == 0 and blob.name.endswith("/")
            if not placeholder and glob.matches(blob.name[skip:].split("/")):
                yield listed(blob)


@dataclass(frozen=True)
class _Pages:
    """The pages of a listing; each is one request, tried again by itself."""

    bucket: str
    query: dict[str, Any]
    policy: RetryPolicy

    def __iter__(self) -> Iterator[list[Any]]:
        token = None
        while True:
            page, token = self.page(token)
            yield page
            if not token:
                return

    def page(self, token: str | None) -> tuple[list[Any], str | None]:
        """The page that a token stands for, the first one for None, and the token of the next, if there is one."""

        def attempt(this: Attempt) -> tuple[list[Any], str | None]:
            options = {"page_size": _PAGE, "fields": _FIELDS, "retry": None, "timeout": this.timeout}
            blobs = client().list_blobs(self.bucket, page_token=token, **self.query, **options)
            return list(next(blobs.pages, ())), blobs.next_page_token

        try:
            return call(attempt, uri=f"gs://{self.bucket}/", rights=READ, policy=self.policy)
        except NotFound:
            raise no_bucket(self.bucket) from None
