"""Calibration against numpy's histogram and plain loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskbeam.transforms.comparison.calibration import (
    calibration_bins,
    calibration_counts,
    expected_calibration_error,
)
from maskbeam.transforms.elements import Array


def image(seed: int, height: int = 20, width: int = 30) -> tuple[Array, Array, Array]:
    rng = np.random.default_rng(seed)
    confidence = rng.integers(0, 256, (height, width)).astype(np.uint8)
    hits, known = rng.random((2, height, width)) < np.array([0.6, 0.8])[:, None, None]
    return hits, confidence, known


@given(st.integers(0, 2**32))
@settings(max_examples=15, deadline=None)
def test_the_error_is_that_of_numpys_histogram(seed: int) -> None:
    hits, confidence, known = image(seed)
    values, right = confidence[known] / 255, hits[known]
    # `linspace` is a last digit off where an edge is a value.
    edges = np.arange(16) * 17 / 255
    pixels, correct, total = (
        np.histogram(values, edges, weights=weights)[0]
        for weights in (np.ones(len(values)), right.astype(float), values)
    )
    there = pixels > 0
    error = np.abs(correct[there] / pixels[there] - total[there] / pixels[there]) @ pixels[there] / pixels.sum()
    counts = calibration_counts(hits, confidence, known)
    assert counts[:, 0].tolist() == pixels.tolist()
    assert counts[:, 1].tolist() == correct.tolist()
    assert expected_calibration_error(counts) == pytest.approx(error)


def test_each_value_falls_into_one_of_fifteen_bins_and_certainty_into_the_last() -> None:
    values = np.arange(256, dtype=np.uint8)[np.newaxis]
    for value in range(256):
        counts = calibration_counts(values >= 0, values, values == value)
        assert counts[min(value * 15 // 255, 14)].tolist() == [1, 1, value]
        assert counts.sum() == 2 + value


@given(seed=st.integers(0, 2**32), cut=st.integers(0, 20))
@settings(max_examples=20, deadline=None)
def test_parts_add_up_and_unknown_pixels_may_hold_anything(seed: int, cut: int) -> None:
    hits, confidence, known = image(seed)
    whole = calibration_counts(hits, confidence, known)
    parts = (calibration_counts(hits[at], confidence[at], known[at]) for at in (slice(cut), slice(cut, None)))
    assert np.array_equal(sum(parts), whole)
    assert np.array_equal(calibration_counts(hits ^ ~known, np.where(known, confidence, 7), known), whole)


def test_labels_as_sure_as_they_are_right_have_no_error() -> None:
    confidence = np.full((10, 10), 204, np.uint8)
    hits = np.arange(100).reshape(10, 10) < 80
    counts = calibration_counts(hits, confidence, np.ones((10, 10), bool))
    assert expected_calibration_error(counts) == 0
    assert calibration_bins(counts)[12] == (12 / 15, 13 / 15, 100, 0.8, 0.8)
    assert calibration_bins(counts)[0] == (0, 1 / 15, 0, None, None)


def test_nothing_known_has_no_error() -> None:
    hits, confidence, known = image(0)
    assert expected_calibration_error(calibration_counts(hits, confidence, known & False)) is None
