"""Imbalance of the classes, and weights that make up for it in the next training.

Everything is computed from integer counts by class, `[C]`, and given by class, None for a class that was never seen:
no weight can be told for it.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Weights = list[float | None]


def imbalance_ratios(pixels: Sequence[int]) -> Weights:
    """Factors by which each class is rarer than the most frequent one, 1 for that one: `max(n) / n_c`."""
    counts = np.asarray(pixels, np.float64)
    return _where_seen(counts, lambda seen: seen.max() / seen)


def inverse_frequency_weights(pixels: Sequence[int]) -> Weights:
    """Weights `n / (C n_c)` with `n` pixels over the C classes that were seen.

    Normalisation: the mean weight over all pixels is 1. The same as scikit-learn's `class_weight="balanced"`, after
    King and Zeng, "Logistic Regression in Rare Events Data", 2001.
    """
    counts = np.asarray(pixels, np.float64)
    return _where_seen(counts, lambda seen: seen.sum() / (len(seen) * seen))


def median_frequency_weights(pixels: Sequence[int], pixels_around: Sequence[int]) -> Weights:
    """Weights `median(f) / f_c`, where `f_c` is the share of class c in the images that hold it.

    Normalisation: the class of median frequency weighs 1. Eigen and Fergus, "Predicting Depth, Surface Normals and
    Semantic Labels with a Common Multi-Scale Convolutional Architecture", ICCV 2015.

    Args:
        pixels: Pixels of each class.
        pixels_around: All labelled pixels of the images that hold the class, by class.
    """
    counts = np.asarray(pixels, np.float64)
    frequencies = np.divide(counts, pixels_around, out=np.zeros_like(counts), where=counts > 0)
    return _where_seen(frequencies, lambda seen: np.median(seen) / seen)


def effective_number_weights(pixels: Sequence[int]) -> Weights:
    """Weights `1 / E_c` with the effective number of samples `E_c = (1 - beta^n_c) / (1 - beta)`.

    Normalisation: the mean weight over the classes that were seen is 1. Cui et al., "Class-Balanced Loss Based on
    Effective Number of Samples", CVPR 2019, with their `beta = (N - 1) / N`, N being all labelled pixels: a fixed
    0.9999 is meant for thousands of samples and would give any class of a million pixels the same weight.
    """
    counts = np.asarray(pixels, np.float64)
    total = counts.sum()

    def weigh(seen: NDArray[np.float64]) -> NDArray[np.float64]:
        # log1p and expm1, because beta is so near to 1 that its power would lose all digits.
        with np.errstate(divide="ignore"):
            inverse: NDArray[np.float64] = 1 / -np.expm1(seen * np.log1p(-1 / total))
        weights: NDArray[np.float64] = inverse / inverse.mean()
        return weights

    return _where_seen(counts, weigh)


def _where_seen(values: NDArray[np.float64], weigh: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Weights:
    seen = values > 0
    weights: Weights = [None] * len(values)
    if seen.any():
        for i, weight in zip(np.flatnonzero(seen), weigh(values[seen]), strict=True):
            weights[i] = float(weight)
    return weights
