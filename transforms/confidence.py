"""The model's confidence in each pixel's label."""

import numpy as np

from maskbeam.transforms.elements import Array
from maskbeam.transforms.resampling.upsample import LARGEST, finite

CONFIDENCES = ("probability", "entropy", "margin")
UNIT = 65535
# Keeps the logarithm of a probability of 0 finite; p * log(p) is then 0 to all digits.
TINY = np.float32(np.finfo(np.float32).tiny)


def confidence(scores: Array, *, kind: str, measure: str = "probability") -> Array:
    """Computes how sure the model is of its labels, from what its head emits.

    Classes that exclude each other have probabilities p, largest first p1, p2, ...: a softmax of `logits`, the
    values themselves of `probabilities`. `probability` is p1, `margin` is p1 - p2, and `entropy` is
    1 + sum(p log p) / log C, which is 1 where one class has it all and 0 where all are equal (Shannon, A Mathematical
    Theory of Communication, 1948). One `sigmoid` channel counts as two classes of p and 1 - p; each channel of a
    `multilabel` head likewise, independent of the others.

    Args:
        scores: Float `[C, ...]`, classes first; `[1, ...]` for the sigmoid kinds.
        kind: A `Head`'s kind; not `ids`, which have no probabilities.
        measure: `probability`, `entropy` or `margin`.

    Returns:
        Uint16 `[...]`, for multi-label heads `[C, ...]`, in units of 1/65535; NaN counts as 0.
    """
    if kind == "ids":
        raise ValueError("class ids have no probabilities")
    if measure not in CONFIDENCES:
        raise ValueError(f"measure {measure!r} is unknown; choose one of {', '.join(CONFIDENCES)}")
    return overwriting(finite(scores), kind=kind, measure=measure)


def overwriting(scores: Array, *, kind: str, measure: str) -> Array:
    """The same as `confidence`, for finite float32 scores `[C, ...]` that it may use as its scratch space."""
    if kind == "logits":
        return quantize(_of_logits(scores, measure))
    if kind == "probabilities":
        return quantize(_of_probabilities(scores, measure))
    chances = sigmoid(scores) if kind.endswith("_logits") else scores
    decided = quantize(_of_decisions(chances, measure))
    return decided if kind.startswith("multilabel") else decided[0]


def sigmoid(logits: Array) -> Array:
    """The logistic function, float32 `[...]`; in place."""
    np.negative(logits, out=logits)
    with np.errstate(over="ignore"):
        np.exp(logits, out=logits)
    logits += 1
    np.reciprocal(logits, out=logits)
    return logits


def quantize(share: Array) -> Array:
    """Shares `[...]` of 0..1 as uint16 in units of 1/65535, halves to even; beyond it clipped, NaN as 0; in place."""
    share *= UNIT
    np.fmin(np.fmax(share, 0, out=share), UNIT, out=share)
    np.rint(share, out=share)
    return share.astype(np.uint16)


def _of_logits(logits: Array, measure: str) -> Array:
    if measure == "margin":
        first, second = _two_largest(logits)
        return np.asarray(_of_logits(logits, "probability") * -np.expm1(second - first))
    logits -= _fold(np.maximum, logits)
    if measure == "probability":
        total = _fold(np.add, np.exp(logits, out=logits))
        return np.reciprocal(total, out=total)
    # With x the logits less their largest, log p = x - log(total): no logarithm of each probability is needed.
    exponentials = np.exp(logits)
    total = _fold(np.add, exponentials)
    logits *= exponentials
    return _certainty(np.log(total) - _fold(np.add, logits) / total, len(logits))


def _of_probabilities(p: Array, measure: str) -> Array:
    if measure == "probability":
        return _fold(np.maximum, p)
    if measure == "margin":
        first, second = _two_largest(p)
        return np.asarray(first - second)
    p /= np.maximum(_fold(np.add, p), TINY)
    return _certainty(-_fold(np.add, p * np.log(np.maximum(p, TINY))), len(p))


def _of_decisions(p: Array, measure: str) -> Array:
    likelier = np.maximum(p, 1 - p)
    if measure == "probability":
        return np.asarray(likelier)
    if measure == "margin":
        return np.asarray(2 * likelier - 1)
    other = np.maximum(1 - likelier, TINY)
    return _certainty(-likelier * np.log(likelier) - other * np.log(other), 2)


def _certainty(entropy: Array, classes: int) -> Array:
    return np.asarray(1 - entropy / np.log(max(classes, 2)), np.float32)


def _two_largest(scores: Array) -> tuple[Array, Array]:
    first, second = scores[0].copy(), np.full_like(scores[0], -LARGEST)
    for plane in scores[1:]:
        np.maximum(second, np.minimum(first, plane), out=second)
        np.maximum(first, plane, out=first)
    return first, second


def _fold(combine: np.ufunc, planes: Array) -> Array:
    """`combine.reduce(planes, axis=0)`, which is up to ten times slower on the few and strided planes of a strip."""
    result: Array = planes[0].copy()
    for plane in planes[1:]:
        combine(result, plane, out=result)
    return result
