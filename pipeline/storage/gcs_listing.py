"""Lists objects on Google Cloud Storage, holding one page at a time."""

import os
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from maskbeam.pipeline.storage import Listed, NotFound, Unavailable
from maskbeam.pipeline.storage.gcs_client import client, split_uri
from maskbeam.pipeline.storage.gcs_errors import READ, call, no_bucket
from maskbeam.pipeline.storage.patterns import AnyGlob, Glob, split, split_all
from maskbeam.pipeline.storage.retry import Attempt, RetryPolicy, UnfitAnswerError

_PAGE = 1000
_FIELDS = "kind,items(name,size,generation,metadata),nextPageToken"
# A page is billed like a dozen reads, so one that tells of fewer names than that is wasted. A few of these are met
# where the names come in clumps; after that they are taken to lie far apart.
_PAGE_WORTH = 12
_WASTED_PAGES = 3
# Where much was deleted the service gives a few empty pages in a row, but not for ever.
_EMPTY_PAGES = 1000

Stat = Callable[[str], Listed | None]


def checked(resource: Any, *, prefix: str, whole: bool = False) -> dict[str, Any]:
    """An object's metadata, if that is what was answered.

    Args:
        resource: The answer.
        prefix: How the object's name begins that was asked about.
        whole: Whether that is its whole name.

    Raises:
        UnfitAnswerError: It is something else, or tells of an object that nobody asked about.
    """
    if not isinstance(resource, dict) or any(key not in resource for key in ("name", "size", "generation")):
        raise UnfitAnswerError("metadata without an object's name, size and generation")
    name = resource["name"]
    # JSON may hold halves of characters, which no name does.
    named = isinstance(name, str) and name.encode(errors="ignore").decode() == name
    if not named or not all(str(resource[key]).isdecimal() for key in ("size", "generation")):
        raise UnfitAnswerError("metadata whose name, size or generation is none")
    if not name.startswith(prefix) or (whole and name != prefix):
        raise UnfitAnswerError("metadata of another object than was asked about")
    return resource


def listed(bucket: str, resource: Mapping[str, Any]) -> Listed:
    """A listing's line from an object's metadata."""
    metadata = resource.get("metadata") or {}
    return Listed(f"gs://{bucket}/{resource['name']}", int(resource["size"]), str(resource["generation"]), metadata)


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


def find_any(patterns: Collection[str], stat: Stat, policy: RetryPolicy) -> Iterator[Listed]:
    """All objects of one bucket that any of `patterns` means, sorted by name, as `Storage.list` says.

    Raises:
        RunError: There is no such bucket.
    """
    named = [split_uri(pattern) for pattern in patterns]
    bucket = named[0][0]
    glob = split_all([name for _, name in named], lambda path: _exists(bucket, path, stat, policy))
    yield from _below(bucket, glob, policy)


def look_up(uris: Collection[str], policy: RetryPolicy) -> dict[str, Listed | None]:
    """Looks up objects in one bucket, as `Storage.look_up` says; listings are consistent with writes.

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
    pages = _Pages(bucket, {"prefix": prefix, "startOffset": start, "endOffset": stop + "!"}, policy)
    page, token = pages.page(None)
    found = {entry.uri: entry for entry in page}
    return found, max(found, default="") if token else last


def _exists(bucket: str, path: str, stat: Stat, policy: RetryPolicy) -> bool:
    below = _Pages(bucket, {"prefix": path + "/", "maxResults": "1"}, policy)
    return stat(f"gs://{bucket}/{path}") is not None or any(below)


def _below(bucket: str, glob: Glob | AnyGlob, policy: RetryPolicy) -> Iterator[Listed]:
    # With a delimiter the service leaves out what lies in deeper folders.
    query = {"prefix": glob.prefix, "delimiter": "/"} if glob.is_flat else {"prefix": glob.prefix}
    skip = len(glob.fixed) + 1 if glob.fixed else 0
    for page in _Pages(bucket, query, policy):
        for entry in page:
            name = split_uri(entry.uri)[1]
            placeholder = entry.size == 0 and name.endswith("/")
            if not placeholder and glob.matches(name[skip:].split("/")):
                yield entry


@dataclass(frozen=True)
class _Pages:
    """The pages of a listing; each is one request, tried again by itself."""

    bucket: str
    query: dict[str, str]
    policy: RetryPolicy

    def __iter__(self) -> Iterator[list[Listed]]:
        token, last, empty = None, b"", 0
        while True:
            page, following = self.page(token)
            names = [entry.uri.encode() for entry in page]
            empty = 0 if page else empty + 1
            if not _ascend([last, *names]) or empty > _EMPTY_PAGES or following == (token or ""):
                raise Unavailable(f"The listing of gs://{self.bucket} goes in circles; run the same command again")
            yield page
            if not following:
                return
            token, last = following, names[-1] if names else last

    def page(self, token: str | None) -> tuple[list[Listed], str | None]:
        """The page that a token stands for, the first one for None, and the token of the next, if there is one."""
        query = {"maxResults": str(_PAGE), "fields": _FIELDS, **self.query} | ({"pageToken": token} if token else {})

        def attempt(this: Attempt) -> tuple[list[Listed], str | None]:
            path = f"{client().bucket(self.bucket).path}/o"
            answer = client()._get_resource(path, query_params=query, retry=None, timeout=this.timeout)
            if not isinstance(answer, dict) or answer.get("kind") != "storage#objects":
                raise UnfitAnswerError("something else than a page of a listing")
            items = answer.get("items", [])
            if not isinstance(items, list):
                raise UnfitAnswerError("a page of a listing without a list")
            objects = [checked(item, prefix=self.query["prefix"]) for item in items]
            return [listed(self.bucket, found) for found in objects], answer.get("nextPageToken")

        try:
            return call(attempt, place=f"gs://{self.bucket}", rights=READ, policy=self.policy)
        except NotFound:
            raise no_bucket(self.bucket) from None


def _ascend(names: Sequence[bytes]) -> bool:
    return all(before < after for before, after in pairwise(names))
