"""The bytes of objects as they are answered, and whether the answer is one of the service's."""

import base64
import io
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import google_crc32c
from google.api_core.exceptions import from_http_status

from maskbeam.pipeline.storage.gcs_client import blob_of, client
from maskbeam.pipeline.storage.gcs_connection import expect_bytes
from maskbeam.pipeline.storage.retry import Attempt, UnfitAnswerError

_PIECE = 1 << 20
_ERROR_BYTES = 1 << 14
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
_CRC32C = re.compile(r"crc32c=([A-Za-z0-9+/=]+)")
_OUT_OF_RANGE = 416


class Part(NamedTuple):
    """Bytes of an object.

    Attributes:
        data: The bytes.
        generation: The version that they are of.
        checksum: CRC32C of the whole object.
        size: Of the whole object, in bytes.
    """

    data: bytes
    generation: str
    checksum: str
    size: int


def encoded(checksum: int) -> str:
    """A CRC32C as Google's headers write it: base64 of its four bytes, highest first."""
    return base64.b64encode(checksum.to_bytes(4, "big")).decode()


def download(uri: str, generation: int | None, start: int, end: int | None, this: Attempt) -> Part | None:
    """The bytes `[start, end)` of an object, fewer only at its end; None where it says that it has none there.

    An object that comes whole, also where a part was asked for that is all of it, is checked by its checksum; a part
    must be the one that was asked for, of its full length. An answer of another kind is none.

    Raises:
        UnfitAnswerError: The answer is not one of the service's, or its bytes are not the object's.
        GoogleAPICallError: The service refuses.
    """
    part = start > 0 or end is not None
    headers = {"Accept-Encoding": "gzip", "User-Agent": client()._connection.user_agent}
    if part:
        headers["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
    url = blob_of(uri, generation=generation)._get_download_url(client())
    with client()._http.get(url, headers=headers, timeout=this.timeout, stream=True) as answer:
        if answer.status_code == _OUT_OF_RANGE:
            return None
        if answer.status_code >= 400:
            text = answer.raw.read(_ERROR_BYTES, decode_content=True).decode("utf-8", "replace")
            raise from_http_status(answer.status_code, text)  # type: ignore[no-untyped-call]
        length, size = _lengths(answer, start, end) if part else _whole_length(answer)
        found, checksum = _vouched(answer.headers, generation)
        data = _body(answer.raw, length)
    if length == size and encoded(google_crc32c.value(data)) != checksum:
        raise UnfitAnswerError("bytes that do not have the object's checksum")
    return Part(data, found, checksum, size)


def _lengths(answer: Any, start: int, end: int | None) -> tuple[int, int]:
    """The number of bytes of a part of an object, and of the object."""
    found = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
    if answer.status_code != 206 or not found:
        raise UnfitAnswerError(f"status {answer.status_code} {_kind(answer)} to a question for a part of an object")
    first, last, size = map(int, found.groups())
    if first != start or last + 1 != min(size, size if end is None else end):
        raise UnfitAnswerError("another part of an object than was asked for")
    return last + 1 - first, size


def _whole_length(answer: Any) -> tuple[int, int]:
    length = answer.headers.get("X-Goog-Stored-Content-Length") or answer.headers.get("Content-Length", "")
    if answer.status_code != 200 or not length.isdecimal():
        raise UnfitAnswerError(f"status {answer.status_code} {_kind(answer)} without a length")
    return int(length), int(length)


def _vouched(headers: Mapping[str, str], generation: int | None) -> tuple[str, str]:
    """The generation and the checksum that an answer names."""
    found, checksum = headers.get("X-Goog-Generation", ""), _CRC32C.search(headers.get("X-Goog-Hash", ""))
    if not found.isdecimal() or not checksum:
        raise UnfitAnswerError("an object's bytes without its generation and checksum")
    if generation is not None and int(found) != generation:
        raise UnfitAnswerError("another generation of the object")
    return found, checksum[1]


def _body(raw: Any, length: int) -> bytes:
    """The body of so many bytes; more or fewer are an error, and no more than one more is read."""
    expect_bytes(length)
    data: bytes = raw.read(min(length + 1, _PIECE), decode_content=False)
    if len(data) == _PIECE:
        stream = io.BytesIO(data)
        stream.seek(_PIECE)
        while piece := raw.read(min(length + 1 - stream.tell(), _PIECE), decode_content=False):
            stream.write(piece)
        data = stream.getvalue()
    if len(data) != length:
        raise UnfitAnswerError(f"a body of another length than {length} bytes")
    return data


def _kind(answer: Any) -> str:
    kind = answer.headers.get("Content-Type", "").partition(";")[0]
    return f"({kind})" if re.fullmatch(r"[\w.+-]+/[\w.+-]+", kind) else ""
