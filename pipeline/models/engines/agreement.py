"""Measures in how far the labels and the confidence of two engines, or of two forms of one model, are the same."""

import numpy as np

from maskbeam.pipeline.models.probing.probe import Probe
from maskbeam.transforms.confidence import UNIT
from maskbeam.transforms.elements import Array
from maskbeam.transforms.head import EXCLUSIVE, Head, cut
from maskbeam.transforms.predict import Scores

LEAST_AGREEMENT = 0.9999
# Of an image's mean confidence; sums in another order change the fifth digit.
MOST_DRIFT = 0.01
# Of the usual score that decides: two that are nearer to each other may change places by rounding alone.
ROUNDING = 1e-4


def agreement_beyond_ties(mine: Scores, known: Scores, head: Head, threshold: float) -> float:
    """The share of labels that are the same, or that rounding may change; none of a plane with another number of NaN.

    Args:
        mine: At either end of the model.
        known: Of the same planes, at the end `logits`.
        head: What the scores mean.
        threshold: Probability above which a sigmoid's second class is there.
    """
    labels, tied = labels_of(known.logits, head, threshold), is_tied(known.logits, head, threshold)
    if head.kind in EXCLUSIVE and known.logits.ndim == 4:
        labels[np.isnan(known.logits).any(axis=-1)] = 0
    found = labels_of(mine.logits, head, threshold)
    same = (found == labels.reshape(found.shape)) | tied.reshape(found.shape)
    same[mine.nonfinite != known.nonfinite] = False
    return float(same.mean())


def is_tied(scores: Array, head: Head, threshold: float) -> Array:
    """Where rounding may change a label: `[N, h, w]` of classes that exclude each other, else of each channel."""
    if scores.ndim == 3:
        return np.zeros(scores.shape, bool)
    deciding, other = scores, np.asarray(cut(threshold, head.kind))
    if head.kind in EXCLUSIVE:
        other, deciding = np.moveaxis(np.partition(scores, -2, axis=-1)[..., -2:], -1, 0)
    known = np.abs(deciding[np.isfinite(deciding)])
    with np.errstate(invalid="ignore"):
        return np.asarray(np.abs(deciding - other) <= ROUNDING * (np.median(known) if known.size else 0))


def confidence_drift(mine: Scores, other: Scores, probe: Probe) -> float:
    """The largest difference of a plane's mean confidence, 0..1."""
    return float(np.abs(mine.confidence - other.confidence).max() / (UNIT * probe.map_size[0] * probe.map_size[1]))


def labels_of(ending: Array, head: Head, threshold: float) -> Array:
    """The labels that an engine's ending gives, to be compared: channels, or whether classes are there."""
    if ending.ndim == 3:
        return ending
    if head.kind in EXCLUSIVE:
        return np.asarray(ending.argmax(axis=-1))
    return np.asarray(ending > cut(threshold, head.kind))
