"""Old labels, new labels and the truth: did it get better?"""

from typing import NamedTuple

import numpy as np

from maskbeam.transforms.comparison.flow import counted
from maskbeam.transforms.elements import Array
from maskbeam.transforms.measures.class_summary import ratio


class Change(NamedTuple):
    """Pixels of one class of the truth, by who is right: McNemar's table (1947). Counts of many images add up.

    Attributes:
        neither: Old and new labels are wrong.
        worse: The old ones were right, the new ones are wrong.
        better: The old ones were wrong, the new ones are right.
        both: Both are right.
    """

    neither: int
    worse: int
    better: int
    both: int

    @property
    def gain(self) -> float | None:
        """The share of pixels that are right now, less the share that was; None without pixels."""
        return ratio(self.better - self.worse, sum(self))


def change_counts(truth: Array, old: Array, labels: Array, count: int) -> Array:
    """Counts the pixels of each class of the truth by who is right.

    Args:
        truth: Class indexes `[H, W]`; `count` where the truth is ignored.
        old: Class indexes of the same shape; `count` where no class is.
        labels: Likewise, the new ones.
        count: The number of classes, C.

    Returns:
        Int64 `[C, 4]`, the fields of `Change`.
    """
    right = (old == truth).view(np.uint8) + 2 * (labels == truth).view(np.uint8)
    wide: Array = truth.astype(np.uint16 if count < 1 << 14 else np.int64)
    states, pixels = counted((wide * 4 + right).reshape(-1))
    found = np.zeros((count + 1) * 4, np.int64)
    found[states] = pixels
    return found.reshape(count + 1, 4)[:count]


def confident_disagreement(reference: Array, labels: Array, confidence: Array, count: int) -> tuple[int, int]:
    """The confidence that goes against a reference: large where the reference is probably wrong.

    Args:
        reference: Class indexes `[H, W]`; `count` where the reference is ignored.
        labels: Class indexes of the same shape; `count` where no class is.
        confidence: Uint8 of the same shape: probability of the labels, 255 is certain.
        count: The number of classes, C.

    Returns:
        The sum of the confidence over known pixels whose label is another class, in units of 1/255, and the number
        of known pixels. The score is `sum / (255 known)`.
    """
    known = reference != count
    other = known & (reference != labels) & (labels != count)
    return int(confidence.sum(where=other, dtype=np.int64)), int(np.count_nonzero(known))
