"""Independent classes against scikit-learn's confusion matrix, class by class."""

import numpy as np
import pytest
from sklearn import metrics

from maskbeam.transforms.comparison.planes import of_planes, plane_counts


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("by_class", [False, True])
def test_counts_are_scikit_learns(seed: int, by_class: bool) -> None:
    rng = np.random.default_rng(seed)
    reference, labels, known = rng.random((3, 4, 9, 11)) < 0.5
    known = known if by_class else known[0]
    found = plane_counts(reference, labels, known)
    for index in range(4):
        kept = known[index] if by_class else known
        expected = metrics.confusion_matrix(reference[index][kept], labels[index][kept], labels=[False, True])
        assert np.array_equal(found[index], expected)
    parts = [plane_counts(reference[:, at], labels[:, at], known[..., at, :]) for at in (slice(4), slice(4, None))]
    assert np.array_equal(sum(parts), found)
    assert np.array_equal(plane_counts(reference ^ ~known, labels | ~known, known), found)


def test_classes_are_counted_as_those_of_a_label_map() -> None:
    reference, labels = (np.array([[[1, 1, 0, 0, 1]]], bool), np.array([[[1, 0, 1, 0, 1]]], bool))
    known = np.array([[1, 1, 1, 1, 0]], bool)
    assert of_planes(plane_counts(reference, labels, known)).tolist() == [[1, 2, 2]]
