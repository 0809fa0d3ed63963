"""Keyed hashes that stand in the place of ids, for outputs that must not name whom they show."""

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from transforms.errors import RunError

KEY_VARIABLE = "MASKBEAM_ID_KEY"
_BYTES = 16


@dataclass(frozen=True)
class Anonymous:
    """Turns ids into keyed hashes: 32 hex digits, the same in every run with the same key."""

    key: bytes = field(repr=False)

    def __call__(self, image_id: str) -> str:
        text = image_id.encode("utf-8", "surrogatepass")
        # A key is at most 64 bytes to BLAKE2b, a secret may be longer.
        key = hashlib.blake2b(self.key).digest()
        return hashlib.blake2b(text, digest_size=_BYTES, key=key).hexdigest() if image_id else ""


def same_id(image_id: str) -> str:
    """The id itself: what is done without --anonymous_ids."""
    return image_id


def naming(*, anonymous: bool, environment: Mapping[str, str] = os.environ) -> Callable[[str], str]:
    """How ids become the names of outputs.

    Raises:
        RunError: They are to be hashed, and no key is set: without one anybody could try names.
    """
    if not anonymous:
        return same_id
    key = environment.get(KEY_VARIABLE, "")
    if not key:
        raise RunError(
            f"--anonymous_ids needs a key: set the environment variable {KEY_VARIABLE} to a secret of yours, the "
            "same for every run into an output; who has it can tell which hash is whose"
        )
    return Anonymous(key.encode("utf-8", "surrogateescape"))
