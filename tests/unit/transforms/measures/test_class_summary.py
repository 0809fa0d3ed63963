"""Ratios of the reports against a plain loop over the pixels."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskbeam.transforms.measures.class_summary import summarize
from maskbeam.transforms.measures.confidence import CONFIDENCE
from maskbeam.transforms.measures.counted import Sums
from maskbeam.transforms.measures.pixels import PIXELS
from tests.support.report_inputs import BOTH, FIRST, TABLE, statistics_of

ROWS = st.lists(st.sampled_from([7, 3, 0, 255]), min_size=1, max_size=12)


@given(st.lists(ROWS, min_size=1, max_size=5))
def test_shares_follow_a_plain_loop(images: list[list[int]]) -> None:
    total = Sums.zero()
    for image in images:
        total += statistics_of([image])
    every = [pixel for image in images for pixel in image if pixel != 255]
    for summary in summarize(TABLE, total[PIXELS]):
        i = summary.info.id
        holding = [[p for p in image if p != 255] for image in images if i in image]
        shares = [Fraction(image.count(i), len(image)) for image in holding]
        assert summary.pixels == every.count(i)
        assert summary.images == len(holding)
        assert summary.share == (pytest.approx(every.count(i) / len(every)) if every else None)
        assert summary.mean_share == (pytest.approx(float(sum(shares) / len(shares)), abs=2e-9) if shares else None)


def test_shares_of_labelled_pixels_add_up_to_1() -> None:
    assert sum(summary.share or 0 for summary in summarize(TABLE, BOTH[PIXELS])) == pytest.approx(1)


def test_weights_of_two_images_of_different_size() -> None:
    field, water, never = summarize(TABLE, BOTH[PIXELS])
    assert (field.pixels, water.pixels, never.pixels) == (6, 2, 0)
    assert (field.imbalance, water.imbalance, never.imbalance) == (1, 3, None)
    assert field.inverse_frequency == pytest.approx(8 / 12)
    assert water.inverse_frequency == pytest.approx(2)
    # Field: 6 of the 8 labelled pixels of both images; water: 2 of the 6 of the first image.
    median = float(np.median([6 / 8, 2 / 6]))
    assert field.median_frequency == pytest.approx(median / (6 / 8))
    assert water.median_frequency == pytest.approx(median / (2 / 6))
    assert never.median_frequency is never.effective_number is never.inverse_frequency is None


def test_mean_confidence() -> None:
    assert FIRST[CONFIDENCE].mean == 0.75
    assert BOTH[CONFIDENCE].mean == 0.7
    assert Sums.zero()[CONFIDENCE].mean is None


def test_no_images_give_no_shares() -> None:
    summaries = summarize(TABLE, Sums.zero()[PIXELS])
    assert [(s.pixels, s.share, s.mean_share, s.imbalance) for s in summaries] == [(0, None, None, None)] * 3
