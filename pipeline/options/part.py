"""One of several parts that a job is divided into."""

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """The `index`-th of `count` parts, counted from 1."""

    index: int
    count: int

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    @property
    def file_name(self) -> str:
        """`1-of-4`: names this part's own files in the output."""
        return f"{self.index}-of-{self.count}"

    def holds(self, image_id: str) -> bool:
        """True where an image is this part's: by a hash of its id, so all that claim one id meet in one part."""
        digest = hashlib.blake2b(image_id.encode("utf-8", "surrogatepass"), digest_size=8, person=b"part").digest()
        return int.from_bytes(digest) % self.count == self.index - 1
