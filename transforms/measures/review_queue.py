"""The images that a person looks at first: those of the lowest or the highest score, and not all of one folder.

A queue adds up: parts of a listing, in any order and of any size, give the queue of the whole.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

# So many times as many candidates as can be chosen are gathered before those that cannot be are dropped.
_GATHERED = 4
_LEAST_GATHERED = 1024


class Candidate(NamedTuple):
    """An image that may be looked at.

    Attributes:
        rank: What it is ordered by, the lowest first.
        image_id: Its id.
        uri: Where it lies.
        score: What is shown; `rank` is this, or its negative where the highest come first.
        why: The score in words.
    """

    rank: float
    image_id: str
    uri: str
    score: float
    why: str


@dataclass
class ReviewQueue:
    """The first `top` candidates, of which at most `per_group` are of one group.

    Candidates of equal rank are ordered by a digest of their ids, so that the first files of a folder do not fill
    the queue. Memory holds a few times `top` candidates, however many are added.

    Attributes:
        top: How many are chosen.
        per_group: How many of one group; None: any number.
        group_by: A group is all ids that begin with the same so many parts; 0: those of one folder.
    """

    top: int
    per_group: int | None = None
    group_by: int = 0
    _held: list[Candidate] = field(default_factory=list)

    def add(self, candidates: Iterable[Candidate]) -> None:
        """Takes candidates in."""
        for candidate in candidates:
            self._held.append(candidate)
            if len(self._held) >= max(_LEAST_GATHERED, _GATHERED * self.top):
                self._held = list(self)

    def __iter__(self) -> Iterator[Candidate]:
        taken: Counter[str] = Counter()
        chosen = 0
        for candidate in sorted(self._held, key=_place):
            if chosen == self.top:
                return
            group = group_of(candidate.image_id, self.group_by)
            if self.per_group is None or taken[group] < self.per_group:
                taken[group] += 1
                chosen += 1
                yield candidate


@dataclass
class ClassQueues:
    """A queue for each class, of the images that hold it; an image is in the first queue that chooses it.

    Attributes:
        per_class: How many images of each class are chosen.
        per_group: As of `ReviewQueue`, in each queue.
        group_by: Likewise.
    """

    per_class: int
    per_group: int | None = None
    group_by: int = 0
    _queues: defaultdict[str, ReviewQueue] = field(init=False)

    def __post_init__(self) -> None:
        self._queues = defaultdict(lambda: ReviewQueue(self.per_class, self.per_group, self.group_by))

    def add(self, candidate: Candidate, classes: Iterable[str]) -> None:
        """Takes a candidate in, for the classes that it holds."""
        for name in classes:
            self._queues[name].add([candidate])

    def chosen(self, classes: Iterable[str]) -> Iterator[tuple[str, Candidate]]:
        """Each class's candidates, in the order of the classes, each candidate once."""
        seen: set[str] = set()
        for name in classes:
            for candidate in self._queues[name]:
                if candidate.image_id not in seen:
                    seen.add(candidate.image_id)
                    yield name, candidate


def group_of(image_id: str, parts: int) -> str:
    """The group of an image: the first `parts` parts of its id between slashes; with 0 its folder."""
    return image_id.rpartition("/")[0] if parts == 0 else "/".join(image_id.split("/")[:parts])


def rarity(pixels: Iterable[int], weights: Iterable[float]) -> float:
    """The mean weight of an image's labelled pixels: above 1 where it holds more of rare classes than most.

    Args:
        pixels: Its pixels of each class.
        weights: Those of the classes by inverse frequency, `n / (C n_c)`, whose mean over all images' pixels is 1.

    Returns:
        0 for an image without a labelled pixel.
    """
    pairs = list(zip(pixels, weights, strict=True))
    total = sum(count for count, _ in pairs)
    return sum(count * weight for count, weight in pairs) / total if total else 0.0


def _place(candidate: Candidate) -> tuple[float, bytes, str]:
    name = candidate.image_id
    digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8, person=b"sample").digest()
    return candidate.rank, digest, name
