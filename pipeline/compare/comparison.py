"""A comparison, resolved and checked before work starts: all that workers need of it."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

from maskbeam.pipeline.digests import digest
from maskbeam.pipeline.output.finished import FinishedOutput
from maskbeam.pipeline.output.ours import COMPARISONS
from maskbeam.pipeline.output.tree import Tree
from maskbeam.pipeline.references.references import References
from maskbeam.transforms.comparison.bootstrap import MOST_CLASSES, replicates

#: Images of a part, about: so many are done again when one of them has changed.
PART_IMAGES = 1000
# Raised when the same masks and references begin to give other numbers.
_VERSION = 1


@dataclass(frozen=True)
class Comparison:
    """A comparison.

    Attributes:
        output: The output whose masks are compared.
        tree: The same, to write to.
        name: Of the comparison; its folder.
        flag: The option that named the reference: `--truth` or `--old`.
        where: The words that followed it.
        references: The reference.
        images: The number of images of the output.
        limit: The number of images to compare; None: all.
        seed: Of the sample where there is a limit.
        last: The largest number that an image of the sample has in the draw; None: all are in it.
        group_by: So many parts of an id are its group in the bootstrap; 0: each image is one.
        boundary: The width of boundaries as a share of the diagonal; None: they are not looked at.
        max_failures: A count, or a share such as `0.1%`.
        required: Lowest values of scores, by name.
    """

    output: FinishedOutput
    tree: Tree
    name: str
    flag: str
    where: str
    references: References
    images: int
    limit: int | None = None
    seed: int = 0
    last: str | None = None
    group_by: int = 0
    boundary: float | None = None
    max_failures: str = "0.1%"
    required: tuple[tuple[str, float], ...] = ()

    @property
    def folder(self) -> str:
        """The path of its files below the output."""
        return f"{COMPARISONS}/{self.name}"

    @property
    def count(self) -> int:
        """The number of classes, C."""
        return len(self.output.classes)

    @property
    def chosen(self) -> int:
        """The number of images to compare."""
        return self.images if self.limit is None else min(self.images, self.limit)

    @property
    def parts(self) -> int:
        """The number of parts that the images are spread over."""
        return max(1, -(-self.chosen // PART_IMAGES))

    @property
    def replicates(self) -> int:
        """The number of replicates of the bootstrap."""
        return replicates(self.count)

    @property
    def with_intervals(self) -> bool:
        """True where classes are so few that their sums have room in every replicate."""
        return self.count <= MOST_CLASSES

    @cached_property
    def fingerprint(self) -> str:
        """A digest of all that the counts of an image depend on beside its mask and its reference."""
        how = self.references.how
        return digest(repr((_VERSION, self.output.fingerprint, self.output.classes.ids, self.boundary, how)))

    def part_of(self, image_id: str) -> int:
        """The part that an image is in: by a digest of its id, so that new images change no other part."""
        text = image_id.encode("utf-8", "surrogatepass")
        return int.from_bytes(hashlib.blake2b(text, digest_size=8, person=b"compare").digest()) % self.parts

    def part_path(self, part: int) -> str:
        """The path, below the output, of what is kept of a part."""
        return f"{self.folder}/parts/{part:05d}-of-{self.parts:05d}.json"

    def group_of(self, image_id: str) -> str:
        """The group of an image in the bootstrap."""
        return "/".join(image_id.split("/")[: self.group_by]) if self.group_by else image_id

    def holds(self, image_id: str) -> bool:
        """True where an image is in the sample."""
        return self.last is None or drawn(image_id, self.seed) <= self.last


def drawn(image_id: str, seed: int) -> str:
    """The number of an image in a draw, as a text: the smallest are drawn."""
    return digest(f"{seed}/{image_id}")
