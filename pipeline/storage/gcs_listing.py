"""Lists objects on Google Cloud Storage, holding one page at a time."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pipeline.storage import Listed, NotFound
from pipeline.storage.gcs_client import client, split_uri
from pipeline.storage.gcs_errors import READ, call, no_bucket
from pipeline.storage.patterns import EVERYTHING, Glob, split
from pipeline.storage.retry import Attempt, RetryPolicy

_PAGE = 1000
_FIELDS = "items(name,size,generation,metadata),nextPageToken"

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
            page, token = self._page(token)
            yield page
            if not token:
                return

    def _page(self, token: str | None) -> tuple[list[Any], str | None]:
        def attempt(this: Attempt) -> tuple[list[Any], str | None]:
            options = {"page_size": _PAGE, "fields": _FIELDS, "retry": None, "timeout": this.timeout}
            blobs = client().list_blobs(self.bucket, page_token=token, **self.query, **options)
            return list(next(blobs.pages, ())), blobs.next_page_token

        try:
            return call(attempt, uri=f"gs://{self.bucket}/", rights=READ, policy=self.policy)
        except NotFound:
            raise no_bucket(self.bucket) from None
