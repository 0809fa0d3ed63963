"""The one Google Cloud Storage client of a process, and whose credentials it carries."""

import os
import re
import socket
import threading
from pathlib import Path
from typing import Any

from maskbeam.pipeline.storage import Denied
from maskbeam.transforms.errors import RunError

# One connection for every thread that may be reading or writing; more than a worker's pools have threads.
CONNECTIONS = 64

_METADATA_SECONDS = 2.0
_REDIRECTS = 3
_URI = re.compile(r"gs://([^/]+)/?(.*)", re.DOTALL)
_clients: dict[tuple[int, str], Any] = {}
_lock = threading.Lock()


def client() -> Any:
    """The `google.cloud.storage.Client` that all threads of this process share.

    Raises:
        Denied: The credentials that were found cannot be used.
    """
    # The process is part of the key because connections must not cross a fork.
    key = os.getpid(), os.environ.get("STORAGE_EMULATOR_HOST", "")
    with _lock:
        if key not in _clients:
            _clients[key] = _new_client(emulator=bool(key[1]))
        return _clients[key]


def split_uri(uri: str) -> tuple[str, str]:
    """The bucket and the object's name of a `gs://` URI; the name may be empty.

    Raises:
        RunError: The URI has no bucket.
    """
    match = _URI.fullmatch(uri)
    if not match:
        raise RunError(f"{uri!r} names no bucket; write gs://bucket/path")
    return match[1], match[2]


def blob_of(uri: str, *, generation: int | None = None) -> Any:
    """A handle on an object, or on one generation of it; sends nothing."""
    bucket, name = split_uri(uri)
    return client().bucket(bucket).blob(name, generation=generation)


def forget_client() -> None:
    """Closes the connections, and has the next call look for credentials again."""
    with _lock:
        while _clients:
            _clients.popitem()[1].close()


def is_anonymous() -> bool:
    """True if this process found no credentials, so that only public buckets answer."""
    from google.auth.credentials import AnonymousCredentials

    return isinstance(client()._credentials, AnonymousCredentials)


def _new_client(*, emulator: bool) -> Any:
    from google.auth.credentials import AnonymousCredentials
    from google.auth.transport.requests import AuthorizedSession
    from google.cloud.storage import Client

    from maskbeam.pipeline.storage.gcs_connection import BoundedAdapter

    # Else the client asks for every bucket's metadata in the background, which costs a request and needs a right.
    os.environ.setdefault("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")
    credentials = _credentials(emulator=emulator)
    anonymous = isinstance(credentials, AnonymousCredentials)
    # Nobody's credentials cannot be refreshed; a session that tries leaves a connection behind.
    lasting = AuthorizedSession(credentials, refresh_status_codes=()) if anonymous else None  # type: ignore[no-untyped-call]
    made = Client(project=None, credentials=credentials, _http=lasting)
    session = made._http
    if not session.is_mtls:
        for scheme in ("https://", "http://"):
            session.mount(scheme, BoundedAdapter(pool_maxsize=CONNECTIONS))
    # The service sends nobody elsewhere.
    session.max_redirects = _REDIRECTS
    return made


def _credentials(*, emulator: bool) -> Any:
    from google import auth
    from google.auth.credentials import AnonymousCredentials
    from google.auth.exceptions import GoogleAuthError

    # Google's own search waits half a minute for a metadata server that is not there, then gives up.
    if emulator or not (_configured() or _metadata_answers()):
        return AnonymousCredentials()  # type: ignore[no-untyped-call]
    try:
        return auth.default(scopes=["https://www.googleapis.com/auth/devstorage.read_write"])[0]
    except GoogleAuthError as error:
        raise Denied(f"The Google Cloud credentials cannot be used: {error}") from None


def _configured() -> bool:
    folder = os.environ.get("CLOUDSDK_CONFIG") or Path.home() / ".config" / "gcloud"
    found = (Path(folder) / "application_default_credentials.json").exists()
    return found or "GOOGLE_APPLICATION_CREDENTIALS" in os.environ


def _metadata_answers() -> bool:
    host, _, port = os.environ.get("GCE_METADATA_HOST", "169.254.169.254").partition(":")
    try:
        socket.create_connection((host, int(port or 80)), timeout=_METADATA_SECONDS).close()
    except OSError:
        return False
    return True
