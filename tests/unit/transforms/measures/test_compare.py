"""Confusion and IoU against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from maskbeam.transforms.measures.compare import confusion_matrix, iou


@given(seed=st.integers(0, 2**32), classes=st.integers(2, 9), size=st.integers(1, 300))
@settings(max_examples=30, deadline=None)
def test_confusion_equals_scikit_learns(seed: int, classes: int, size: int) -> None:
    truth, labels = np.random.default_rng(seed).integers(0, classes, (2, size)).astype(np.uint8)
    confusion = confusion_matrix(truth, labels, classes)
    assert np.array_equal(confusion[:, :-1], metrics.confusion_matrix(truth, labels, labels=range(classes)))
    assert not confusion[:, -1].any()


@given(seed=st.integers(0, 2**32), classes=st.integers(2, 6))
@settings(max_examples=30, deadline=None)
def test_iou_equals_scikit_learns_jaccard(seed: int, classes: int) -> None:
    truth, labels = np.random.default_rng(seed).integers(0, classes, (2, 9)).astype(np.uint8)
    occurring = np.union1d(truth, labels)
    expected = np.full(classes, np.nan)
    expected[occurring] = metrics.jaccard_score(truth, labels, labels=occurring, average=None)
    np.testing.assert_allclose(iou(confusion_matrix(truth, labels, classes)), expected)


def test_ignored_truth_is_left_out_and_an_abstention_is_a_miss() -> None:
    truth = np.array([[0, 0, 1, 255]], np.uint8)
    labels = np.array([[0, 255, 1, 0]], np.uint8)
    confusion = confusion_matrix(truth, labels, 2)
    assert confusion.tolist() == [[1, 0, 1], [0, 1, 0]]
    assert iou(confusion).tolist() == [0.5, 1.0]


def test_classes_that_never_occur_have_no_iou() -> None:
    assert np.isnan(iou(confusion_matrix(np.zeros(3, np.uint8), np.zeros(3, np.uint8), 2)))[1]


def test_confusions_of_parts_add_up_to_that_of_the_whole() -> None:
    truth, labels = np.random.default_rng(0).integers(0, 4, (2, 8, 20))
    parts = [confusion_matrix(truth[i:j], labels[i:j], 4) for i, j in ((0, 3), (3, 8))]
    assert np.array_equal(sum(parts), confusion_matrix(truth, labels, 4))


def test_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="same shape"):
        confusion_matrix(np.zeros((2, 2), int), np.zeros(4, int), 2)
