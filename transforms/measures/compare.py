"""Compares label maps with the truth: confusion matrix and intersection over union."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def confusion_matrix(truth: Array, labels: Array, classes: int) -> Array:
    """Counts how often each true class was labelled as each class.

    Pixels whose truth is no class (an ignore label) are left out. Pixels whose label is none are kept in a last
    column of their own: to abstain is to miss.

    Args:
        truth: Integer class ids, any shape, `0..classes-1` or an ignore label outside of it.
        labels: Integer class ids of the same shape.
        classes: Number of classes C.

    Returns:
        Int64 `[C, C + 1]`: rows are the truth, columns the labels. Matrices of many images may be added.

    Raises:
        ValueError: The shapes differ.
    """
    if truth.shape != labels.shape:
        raise ValueError(f"truth is {truth.shape} and labels are {labels.shape}: they must have the same shape")
    known = (truth >= 0) & (truth < classes)
    columns = np.where((labels >= 0) & (labels < classes), labels, classes)[known].astype(np.int64)
    cells = truth[known].astype(np.int64) * (classes + 1) + columns
    return np.bincount(cells, minlength=classes * (classes + 1)).reshape(classes, classes + 1)


def iou(confusion: Array) -> Array:
    """Intersection over union of each class, also called Jaccard index.

    TP / (TP + FP + FN), as in the Pascal VOC challenge (Everingham et al., 2010, section 4.3).

    Args:
        confusion: `[C, C + 1]`, as `confusion_matrix` gives it.

    Returns:
        Float64 `[C]`; NaN for a class that is neither in the truth nor among the labels, so that `np.nanmean` of
        it is the mean over the classes that occur.
    """
    hits = np.diagonal(confusion).astype(np.float64)
    union = confusion.sum(axis=1) + confusion[:, :-1].sum(axis=0) - hits
    return np.asarray(np.divide(hits, union, out=np.full_like(hits, np.nan), where=union > 0))
