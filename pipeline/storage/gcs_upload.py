"""Uploads of files larger than memory: pieces of one session, each tried again by itself (Google, resumable uploads).

The checksum of the whole is declared before the first byte, so that the service refuses what was altered on its way,
and the precondition with it. Where an answer is lost the piece is sent again: of bytes that it has the service takes
no notice. To ask it first how much it has would be a request more, and fake-gcs-server takes that for the end.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import google_crc32c
from google.api_core.exceptions import from_http_response

from maskbeam.pipeline.storage import Unavailable
from maskbeam.pipeline.storage.gcs_client import blob_of, client
from maskbeam.pipeline.storage.gcs_download import encoded
from maskbeam.pipeline.storage.gcs_errors import WRITE, call
from maskbeam.pipeline.storage.retry import Attempt, RetryPolicy, UnfitAnswerError
from maskbeam.transforms.errors import MaskbeamError

# A multiple of 256 KiB, as the service asks for; on a line of half a megabyte a second it takes fifteen seconds.
PIECE_BYTES: Final = 8 << 20
# A session may end without its object: the service forgets it, or a byte of it was altered on its way.
_SESSIONS = 5


class _EndedError(MaskbeamError):
    """The session is no more, and nobody knows whether its object was made."""


@dataclass
class Upload:
    """One file on its way to one object.

    Attributes:
        uri: The object.
        path: The local file.
        condition: The generation that is replaced; 0: there must be none.
        metadata: Custom metadata of the object.
        content_type: Of the object; None: the service's own.
        guard: Called before anything is sent.
        look: The object's metadata as the service tells them, None where there is no object.
        place: What messages name.
        policy: How often each piece is tried.
    """

    uri: str
    path: str
    condition: int
    metadata: Mapping[str, str] | None
    content_type: str | None
    guard: Callable[[], None]
    look: Callable[[Attempt], dict[str, Any] | None]
    place: str
    policy: RetryPolicy

    def __post_init__(self) -> None:
        self.size, self.checksum = os.path.getsize(self.path), _checksum(self.path)

    def run(self) -> str:
        """The object's new generation.

        Raises:
            Conflict: What is there is not what was expected.
            NotFound: There is no such bucket.
            Denied: Access is refused.
            Unavailable: It kept failing.
        """
        for _ in range(_SESSIONS):
            try:
                return self._in_one_session()
            except _EndedError:
                continue
        raise Unavailable(
            f"{self.place} lost or altered a large file {_SESSIONS} times; run the same command again when "
            "it is back: what is done is kept"
        )

    def _in_one_session(self) -> str:
        session = self._call(self._begin)
        offset = 0
        # A service that forgets what it has taken must not keep us for ever.
        for _ in range(2 * (self.size // PIECE_BYTES + 1)):
            found = self._call(lambda this, at=offset: self._send(session, at, this))  # type: ignore[misc]
            if isinstance(found, str):
                return found
            offset = found
        raise _EndedError("it does not come to an end")

    def _call(self, attempt: Callable[[Attempt], Any]) -> Any:
        return call(attempt, place=self.place, rights=WRITE, policy=self.policy)

    def _begin(self, this: Attempt) -> str:
        self.guard()
        blob = blob_of(self.uri)
        blob.crc32c = self.checksum
        if self.metadata:
            blob.metadata = dict(self.metadata)
        session = blob.create_resumable_upload_session(
            self.content_type,
            self.size,
            if_generation_match=self.condition,
            checksum=None,
            retry=None,
            timeout=this.timeout,
        )
        if not session:
            raise UnfitAnswerError("no place to send a file to")
        return str(session)

    def _send(self, session: str, offset: int, this: Attempt) -> int | str:
        """The place of the next piece, or the object's generation."""
        self.guard()
        piece = _piece(self.path, offset)
        end = offset + len(piece)
        # An earlier attempt may have been carried out and only its answer lost.
        if this.number > 1 and end == self.size and (made := self._made(this)):
            return made
        found = self._put(session, piece, f"bytes {offset}-{end - 1}/{self.size}", this)
        if isinstance(found, int) and not offset < found <= end:
            raise UnfitAnswerError("it took other bytes than it was sent")
        return found

    def _put(self, session: str, piece: bytes, span: str, this: Attempt) -> int | str:
        answer = client()._http.put(
            session, data=piece, headers={"Content-Range": span}, timeout=this.timeout, allow_redirects=False
        )
        if answer.status_code == HTTPStatus.PERMANENT_REDIRECT:  # so the service says: go on
            return _received(answer.headers.get("Range"))
        if answer.status_code in (HTTPStatus.OK, HTTPStatus.CREATED):
            return self._generation(answer.json())
        is_altered = answer.status_code == HTTPStatus.BAD_REQUEST and "crc32c" in answer.text.lower()
        if is_altered or answer.status_code in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
            raise _EndedError("the session has ended")
        raise from_http_response(answer)  # type: ignore[no-untyped-call]

    def _generation(self, resource: Any) -> str:
        if not isinstance(resource, dict) or not str(resource.get("generation", "")).isdecimal():
            raise UnfitAnswerError("no object")
        if resource.get("crc32c") != self.checksum:
            # A service that does not check: what it has stored is ours, and the next session replaces it.
            self.condition = int(resource["generation"])
            raise _EndedError("it stored other bytes than it was sent")
        return str(resource["generation"])

    def _made(self, this: Attempt) -> str | None:
        found = self.look(this)
        if found is None or found.get("crc32c") != self.checksum or found["generation"] == str(self.condition):
            return None
        return str(found["generation"])


def _received(span: str | None) -> int:
    """The number of bytes that the service has, by its answer: `bytes=0-42`, or nothing."""
    if span is None:
        return 0
    first, _, last = span.partition("-")
    if first not in ("bytes=0", "0") or not last.isdecimal():
        raise UnfitAnswerError("a part of a file that was not sent")
    return int(last) + 1


def _piece(path: str, offset: int) -> bytes:
    with open(path, "rb") as file:
        file.seek(offset)
        return file.read(PIECE_BYTES)


def _checksum(path: str) -> str:
    value = 0
    with open(path, "rb") as file:
        while piece := file.read(PIECE_BYTES):
            value = google_crc32c.extend(value, piece)
    return encoded(value)
