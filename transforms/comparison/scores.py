"""Scores of labels against a reference, all of them ratios of integer sums; None where nothing can be said."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from maskbeam.transforms.comparison.flow import Flow, flow, joined, of_classes
from maskbeam.transforms.elements import Array
from maskbeam.transforms.measures.class_summary import ratio

#: Shares of single images are whole numbers of this, so that their sum does not depend on the order of work.
SHARE = 10**9


class ClassScores(NamedTuple):
    """Scores of one class.

    Attributes:
        both: Pixels that have it in the reference and in the labels.
        reference: Pixels that have it in the reference.
        labels: Pixels that have it in the labels, of those that the reference knows.
    """

    both: int
    reference: int
    labels: int

    @property
    def iou(self) -> float | None:
        """Intersection over union: TP / (TP + FP + FN), as in Pascal VOC (Everingham et al., 2010, 4.3)."""
        return ratio(self.both, self.reference + self.labels - self.both)

    @property
    def dice(self) -> float | None:
        """2 TP / (2 TP + FP + FN) (Dice, 1945), also called F1."""
        return ratio(2 * self.both, self.reference + self.labels)

    @property
    def precision(self) -> float | None:
        """TP / (TP + FP): the share of its labels that is right."""
        return ratio(self.both, self.labels)

    @property
    def recall(self) -> float | None:
        """TP / (TP + FN): the share of its reference that is found."""
        return ratio(self.both, self.reference)


class Scores(NamedTuple):
    """Scores over all classes.

    Attributes:
        classes: Of each class.
        known: Pixels whose reference is a class.
        correct: Of these, those whose label is that class.
        abstained: Of these, those whose label is no class.
    """

    classes: tuple[ClassScores, ...]
    known: int
    correct: int
    abstained: int

    @classmethod
    def of(cls, flow: Flow, count: int) -> "Scores":
        """The scores that a flow between `count` classes says."""
        sums = of_classes(flow, count)
        abstained = int(flow.pixels[flow.pairs % (count + 1) == count].sum())
        classes = tuple(ClassScores(*map(int, each)) for each in sums)
        return cls(classes, int(flow.pixels.sum()), int(sums[:, 0].sum()), abstained)

    @property
    def miou(self) -> float | None:
        """Mean IoU over the classes that are in the reference or in the labels."""
        return mean(c.iou for c in self.classes)

    @property
    def seen(self) -> int:
        """Number of classes that are in the reference or in the labels."""
        return sum(c.reference + c.labels > 0 for c in self.classes)

    @property
    def miou_classes_in_reference(self) -> float | None:
        """Mean IoU over the classes that are in the reference."""
        return mean(c.iou for c in self.classes if c.reference)

    @property
    def mdice(self) -> float | None:
        """Mean Dice over the classes that are in the reference or in the labels."""
        return mean(c.dice for c in self.classes)

    @property
    def pixel_accuracy(self) -> float | None:
        """Share of known pixels that is right (Long et al., 2015)."""
        return ratio(self.correct, self.known)

    @property
    def mean_class_accuracy(self) -> float | None:
        """Mean recall over the classes that are in the reference (Long et al., 2015)."""
        return mean(c.recall for c in self.classes if c.reference)

    @property
    def frequency_weighted_iou(self) -> float | None:
        """IoU weighted by the pixels that the reference has of each class (Long et al., 2015)."""
        if not self.known:
            return None
        return sum(c.reference * (c.iou or 0.0) for c in self.classes if c.reference) / self.known

    @property
    def coverage(self) -> float | None:
        """Share of known pixels whose label is a class."""
        return ratio(self.known - self.abstained, self.known)


def ious(pairs: Iterable[tuple[Array, Array]], count: int) -> Array:
    """IoU of each class over many pairs of a reference and labels, in one go.

    Args:
        pairs: Class indexes `[H, W]` of both; any larger number is none.
        count: The number of classes, C.

    Returns:
        Float64 `[C]`; NaN for a class that is in neither, so that `np.nanmean` of it is the mean over those seen.
    """
    flows = [flow(np.minimum(reference, count), np.minimum(labels, count), count) for reference, labels in pairs]
    return np.array([each.iou for each in Scores.of(joined(flows), count).classes], np.float64)


def shares(counts: Array) -> Array:
    """IoU of each class in whole numbers of 1e-9, rounded down; -1 where the class is in neither.

    Args:
        counts: Int64 `[..., 3]`, as `of_classes` gives them; below 2^33.

    Returns:
        Int64 `[...]`.
    """
    union = counts[..., 1] + counts[..., 2] - counts[..., 0]
    return np.where(union > 0, counts[..., 0] * SHARE // np.maximum(union, 1), -1)


def mean(values: Iterable[float | None]) -> float | None:
    """The mean of the values that there are; None where there are none."""
    there: Sequence[float] = [value for value in values if value is not None]
    return sum(there) / len(there) if there else None
