"""Old and new labels held against the truth, by plain loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskbeam.transforms.comparison.change import Change, change_counts, confident_disagreement
from tests.unit.transforms.comparison.label_maps import MAPS, pair_of_maps


@given(**{**MAPS, "count": st.sampled_from([1, 2, 5, 255, 300, 20000])})
@settings(max_examples=20, deadline=None)
def test_pixels_are_counted_by_who_is_right(seed: int, count: int, height: int, width: int, block: int) -> None:
    truth, old = pair_of_maps(seed, count, height, width, block)
    labels = pair_of_maps(seed + 1, count, height, width, block)[1]
    expected = np.zeros((count, 4), np.int64)
    for t, o, n in zip(truth.flat, old.flat, labels.flat, strict=True):
        if t != count:
            expected[t, (o == t) + 2 * (n == t)] += 1
    found = change_counts(truth, old, labels, count)
    assert np.array_equal(found, expected)
    # With old and new exchanged, better is worse.
    assert np.array_equal(change_counts(truth, labels, old, count), expected[:, [0, 2, 1, 3]])


def test_the_gain_is_the_difference_of_the_shares_that_are_right() -> None:
    change = Change(neither=1, worse=2, better=5, both=12)
    assert change.gain == pytest.approx((5 + 12) / 20 - (2 + 12) / 20)
    assert Change(0, 0, 0, 0).gain is None


@given(**{**MAPS, "count": st.sampled_from([2, 5, 255, 300])})
@settings(max_examples=15, deadline=None)
def test_confidence_against_a_reference_is_summed(seed: int, count: int, height: int, width: int, block: int) -> None:
    reference, labels = pair_of_maps(seed, count, height, width, block)
    confidence = np.random.default_rng(seed).integers(0, 256, labels.shape).astype(np.uint8)
    total = sum(
        int(p)
        for r, n, p in zip(reference.flat, labels.flat, confidence.flat, strict=True)
        if r != count and n not in (count, r)
    )
    assert confident_disagreement(reference, labels, confidence, count) == (total, np.sum(reference != count))
