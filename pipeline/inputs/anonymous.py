"""Stand-ins, in an output, for images' names and sources; with --anonymous_ids nothing that names could be tried on.

A digest without a key hides nothing from whoever has a list of candidates. So under --anonymous_ids every digest of a
name, a place, a version or of bytes is keyed. The key itself travels with no job: a job is pickled into files that
others keep. What travels is where the key is, and each worker fetches it.
"""

import hashlib
import os
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeVar

from maskbeam.pipeline.digests import content_digest
from maskbeam.pipeline.storage import LOST, SourceChanged, is_gcs, open_storage
from maskbeam.transforms.elements import Named, Source
from maskbeam.transforms.errors import RunError

KEY_VARIABLE = "MASKBEAM_ID_KEY"
F = TypeVar("F", bound=Named)
_BYTES = 16
# With fewer, whoever has a list of names can try all keys as well.
_SHORT = 16
# How the setting begins; older versions have 32 hex digits there.
_KEYED = "keyed "


@dataclass(frozen=True)
class Names:
    """Ids as they are, and digests that anybody can compute: what is done without --anonymous_ids."""

    def named(self, found: F) -> F:
        """An input as it is called in the output."""
        return found

    def image_id(self, image_id: str) -> str:
        """An id as it is called in the output."""
        return image_id

    @property
    def key_file(self) -> str:
        """The file that holds the key, if one does."""
        return ""

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings about the key, for a person, before work starts."""
        return ()

    def told(self, source: Source) -> tuple[str, str]:
        """The words of reports for a source: where it lies, and its version."""
        return source.where, source.version

    def digest(self, data: bytes, *, of: str) -> str:
        """A digest (16 hex digits) of a `version`, of `content` or of `inputs`."""
        return content_digest(data)


@dataclass(frozen=True)
class Anonymous(Names):
    """Keyed hashes in the place of all of these, the same in every run with the same key.

    Attributes:
        where: The file that holds the key; empty: it is in the environment of this process.
        check: A keyed hash of nothing, so that whoever fetches the key knows that it is the same.
        is_short: Whether the key has so few bytes that all keys could be tried.
    """

    where: str
    check: str
    is_short: bool = False

    def named(self, found: F) -> F:
        """An input with 32 hex digits in the place of its id, if it has one, and of its source's place."""
        source = replace(found.source, alias=self._place(found.source.where))
        return found.of(self.image_id(found.image_id), source)

    @property
    def key_file(self) -> str:
        return self.where

    @property
    def warnings(self) -> tuple[str, ...]:
        short = (
            f"the key of --anonymous_ids ({KEY_VARIABLE}) has under {_SHORT} bytes: whoever has a list of names can "
        )
        return (f"{short}try keys until one fits; take a longer one for a new output",) if self.is_short else ()

    def image_id(self, image_id: str) -> str:
        return _hash(self._key, image_id.encode("utf-8", "surrogatepass")) if image_id else ""

    def told(self, source: Source) -> tuple[str, str]:
        return source.place, self.digest(source.version.encode("utf-8", "surrogateescape"), of="version")

    def digest(self, data: bytes, *, of: str) -> str:
        return _hash(self._key, data, of=of)[:16]

    def _place(self, where: str) -> str:
        return _hash(self._key, where.encode("utf-8", "surrogatepass"), of="place")

    @property
    def _key(self) -> bytes:
        return _checked_key(self.where, "" if self.where else os.environ.get(KEY_VARIABLE, ""), self.check)


#: What is done without --anonymous_ids.
PLAIN = Names()


def naming(*, anonymous: bool) -> Names:
    """The stand-ins for names in an output, by this process's environment.

    Raises:
        RunError: They are to be hashed, and there is no key: without one anybody could try names.
    """
    if not anonymous:
        return PLAIN
    value = os.environ.get(KEY_VARIABLE, "")
    where = _key_file(value)
    secret = _secret(where, value)
    return Anonymous(where, _hash(_derived(secret), b"", of="check"), len(secret) < _SHORT)


def _key_file(value: str) -> str:
    if not value.strip():
        raise RunError(
            f"--anonymous_ids needs a key: set the environment variable {KEY_VARIABLE} to a secret of yours, or to @ "
            "and the file that holds it, as @/path/of/key; the same for every run into an output. Who has it can "
            "tell which hash is whose"
        )
    if not value.startswith("@"):
        return ""
    if not (is_gcs(value[1:]) or os.path.isabs(value[1:])):
        raise RunError(
            f"{KEY_VARIABLE} begins with @, so it must name the file that holds the key: @ and an absolute path, or "
            "@gs://bucket/file; a key that begins with @ itself must be in a file"
        )
    return value[1:]


@lru_cache(maxsize=4)
def _checked_key(where: str, value: str, check: str) -> bytes:
    key = _derived(_secret(where, value))
    if _hash(key, b"", of="check") != check:
        raise RunError(
            f"the key of --anonymous_ids ({KEY_VARIABLE}) is another one here than where the command was started; "
            "have the same everywhere, and run the same command again"
        )
    return key


def _secret(where: str, value: str) -> bytes:
    if not where:
        return value.encode("utf-8", "surrogateescape")
    try:
        secret = open_storage(where).read(where).rstrip(b"\r\n")
    except (*LOST, SourceChanged) as error:
        raise RunError(f"{KEY_VARIABLE} names {where} as the file that holds the key: {error}") from None
    if not secret.strip():
        raise RunError(f"{KEY_VARIABLE} names {where} as the file that holds the key, and it is empty")
    return secret


def _derived(secret: bytes) -> bytes:
    # A key is at most 64 bytes to BLAKE2b, a secret may be longer.
    return hashlib.blake2b(secret).digest()


def _hash(key: bytes, data: bytes, *, of: str = "") -> str:
    return hashlib.blake2b(data, digest_size=_BYTES, key=key, person=of.encode()).hexdigest()


def is_keyed(setting: object) -> bool:
    """True if settings tell of an output all of whose digests are keyed; older versions keyed ids alone."""
    return isinstance(setting, str) and setting.startswith(_KEYED)


def setting_of(names: Names) -> str | bool:
    """The setting that tells of an output's names: the key's hash, so that another one is noticed."""
    return f"{_KEYED}{names.check}" if isinstance(names, Anonymous) else False
