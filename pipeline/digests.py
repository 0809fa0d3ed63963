"""Short digests of texts and bytes."""

import hashlib


def digest(text: str) -> str:
    """A short digest (16 hex digits) of a text."""
    return content_digest(text.encode("utf-8", "surrogateescape"))


def content_digest(data: bytes) -> str:
    """A short digest (16 hex digits) of bytes: BLAKE2b, so that equal means equal for all practical purposes."""
    return hashlib.blake2b(data, digest_size=8).hexdigest()
