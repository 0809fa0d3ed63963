"""Class weights against scikit-learn, and against the papers' formulas in exact arithmetic."""

from collections.abc import Callable
from fractions import Fraction
from statistics import median

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

from maskbeam.transforms.measures.balance import (
    effective_number_weights,
    imbalance_ratios,
    inverse_frequency_weights,
    median_frequency_weights,
)

COUNTS = st.lists(st.integers(0, 300), min_size=1, max_size=8).filter(any)


@given(COUNTS)
def test_inverse_frequency_is_scikit_learns_balanced(counts: list[int]) -> None:
    y = np.repeat(np.arange(len(counts)), counts)
    expected = compute_class_weight("balanced", classes=np.unique(y), y=y)
    weights = inverse_frequency_weights(counts)
    assert [w for w in weights if w is not None] == pytest.approx(expected.tolist())
    assert sum(n * w for n, w in zip(counts, weights, strict=True) if w is not None) == pytest.approx(sum(counts))


@given(st.lists(st.lists(st.integers(0, 50), min_size=3, max_size=3), min_size=1, max_size=6))
def test_median_frequency_follows_the_paper(images: list[list[int]]) -> None:
    pixels = [sum(image[c] for image in images) for c in range(3)]
    present = [sum(sum(image) for image in images if image[c]) for c in range(3)]
    frequencies = [Fraction(n, all_of) if n else None for n, all_of in zip(pixels, present, strict=True)]
    seen = [f for f in frequencies if f]
    expected = [float(median(seen) / f) if f else None for f in frequencies]
    assert median_frequency_weights(pixels, present) == pytest.approx(expected)


@given(COUNTS)
def test_effective_number_follows_the_paper(counts: list[int]) -> None:
    beta = Fraction(sum(counts) - 1, sum(counts))
    inverse = [(1 - beta) / (1 - beta**n) if n else None for n in counts]
    seen = [w for w in inverse if w]
    expected = [float(w * len(seen) / sum(seen)) if w else None for w in inverse]
    assert effective_number_weights(counts) == pytest.approx(expected)


def test_effective_number_tells_large_counts_apart() -> None:
    rare, common = effective_number_weights([10**6, 10**12])
    assert rare is not None
    assert common is not None
    assert rare / common == pytest.approx(10**6 * (1 - np.exp(-1)), rel=1e-4)


def test_imbalance_is_told_against_the_most_frequent_class() -> None:
    assert imbalance_ratios([50, 200, 0]) == [4.0, 1.0, None]


@pytest.mark.parametrize(
    "weigh",
    [
        imbalance_ratios,
        inverse_frequency_weights,
        effective_number_weights,
        lambda counts: median_frequency_weights(counts, counts),
    ],
)
def test_a_class_never_seen_has_no_weight(weigh: Callable[[list[int]], list[float | None]]) -> None:
    assert weigh([0, 0]) == [None, None]
    assert weigh([0, 7])[0] is None
