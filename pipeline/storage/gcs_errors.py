"""The meaning of errors of the Google Cloud Storage client: try again, or tell whom to ask for what."""

import http.client
import json
import re
from collections.abc import Callable
from http import HTTPStatus
from typing import TypeVar

import requests
import urllib3
from google.api_core.exceptions import GoogleAPICallError
from google.auth.exceptions import GoogleAuthError, TransportError

from maskbeam.pipeline.storage import Conflict, Denied, NotFound
from maskbeam.pipeline.storage.gcs_client import forget_client, is_anonymous
from maskbeam.pipeline.storage.gcs_connection import bounded
from maskbeam.pipeline.storage.retry import Attempt, RetryPolicy, UnfitAnswerError, retrying
from maskbeam.transforms.errors import RunError

T = TypeVar("T")

READ = "storage.objects.get and storage.objects.list (role Storage Object Viewer)"
WRITE = "storage.objects.create, get, list and delete (role Storage Object User)"

_BROKEN = (
    ConnectionError,
    TimeoutError,
    http.client.HTTPException,
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    TransportError,
)
_WHO = re.compile(r"([\w.@+-]+) does not have ([\w.]+) access")


def is_transient(error: Exception) -> bool:
    """True if the same call may succeed in a moment."""
    if isinstance(error, GoogleAPICallError):
        status = int(error.code or 0)
        damaged_upload = status == HTTPStatus.BAD_REQUEST and "crc32c" in str(error).lower()
        return status in (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS) or status >= 500 or damaged_upload
    if isinstance(error, GoogleAuthError):
        return isinstance(error, TransportError) or bool(getattr(error, "retryable", False))
    return isinstance(error, (UnfitAnswerError, *_BROKEN))


def translated(error: Exception, folder: str, rights: str) -> Exception:
    """The error in our own words, without the object's name that the client's text holds.

    Args:
        error: Not a transient one.
        folder: Where the object lies.
        rights: `READ` or `WRITE`, whichever was tried.
    """
    if isinstance(error, GoogleAuthError):
        return _denied(error, folder, rights)
    if not isinstance(error, GoogleAPICallError):
        return error
    if error.code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return _denied(error, folder, rights)
    if error.code == HTTPStatus.NOT_FOUND:
        return NotFound("there is no such object")
    if error.code == HTTPStatus.PRECONDITION_FAILED:
        return Conflict("the object is another one than expected")
    return RunError(
        f"Google Cloud Storage refuses a request for {folder} with status {error.code}; is the name right?"
    )


def _denied(error: Exception, folder: str, rights: str) -> Denied:
    if is_anonymous():
        forget_client()
        how = "no credentials were found; run gcloud auth application-default login"
    elif isinstance(error, GoogleAuthError):
        how = "the credentials do not work; run gcloud auth application-default login"
    else:
        who = _WHO.search(str(error))
        how = f"grant {who[1] if who else 'this account'} {rights} on the bucket"
    return Denied(f"Access to {folder} is denied: {how}")


def call(attempt: Callable[[Attempt], T], *, place: str, rights: str, policy: RetryPolicy) -> T:
    """Calls `attempt`, tried again while its errors are transient; messages name `place`.

    Raises:
        NotFound: There is no such object, or no such bucket.
        Conflict: A precondition does not hold.
        Denied: Access is refused.
        Unavailable: It kept failing.
    """

    def within_bounds(this: Attempt) -> T:
        with bounded(this):
            try:
                return attempt(this)
            except json.JSONDecodeError:
                raise UnfitAnswerError("something else than JSON") from None
            except requests.TooManyRedirects:
                raise UnfitAnswerError("one redirect after another") from None

    try:
        return retrying(within_bounds, transient=is_transient, policy=policy, place=place)
    except Exception as error:
        raise translated(error, place, rights) from None


def no_bucket(bucket: str) -> RunError:
    """The error for a bucket that does not exist: all its objects fail alike."""
    return RunError(f"There is no bucket gs://{bucket}; create it, or check the name")
