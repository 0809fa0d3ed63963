"""Boundaries against OpenCV's erosion, class by class, as Boundary IoU's authors compute them."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskbeam.transforms.comparison.boundary import band, boundary_counts, boundary_width
from maskbeam.transforms.comparison.scores import ClassScores
from maskbeam.transforms.elements import Array
from tests.unit.transforms.comparison.label_maps import MAPS, pair_of_maps


def boundary(plane: Array, width: int) -> Array:
    padded = cv2.copyMakeBorder(plane.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    eroded = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=width)
    found: Array = plane & (eroded[1:-1, 1:-1] == 0)
    return found


@given(**{**MAPS, "count": st.sampled_from([1, 2, 5, 300])}, fraction=st.sampled_from([0.001, 0.02, 0.05, 0.1, 0.7]))
@settings(max_examples=25, deadline=None)
def test_counts_are_those_of_erosion_class_by_class(
    seed: int, count: int, height: int, width: int, block: int, fraction: float
) -> None:
    reference, labels = pair_of_maps(seed, count, height, width, block)
    d, known = max(1, round(fraction * float(np.sqrt(height**2 + width**2)))), reference != count
    expected = []
    for index in range(count):
        g, p = (boundary((plane == index) & known, d) for plane in (reference, labels))
        expected.append([np.count_nonzero(g & p), np.count_nonzero(g), np.count_nonzero(p)])
    assert boundary_counts(reference, labels, count, fraction).tolist() == expected


@pytest.mark.parametrize(("height", "width", "block"), [(60, 90, 24), (90, 60, 13), (3, 80, 30)])
@pytest.mark.parametrize("d", range(1, 10))
def test_squares_of_any_size(height: int, width: int, block: int, d: int) -> None:
    labels = pair_of_maps(d, 4, height, width, block)[0]
    expected = np.any([boundary(labels == index, d) for index in range(5)], axis=0)
    assert np.array_equal(band(labels, d), expected)
    assert height < block or block <= 2 * d or not expected.all()


def test_a_boundary_is_two_hundredths_of_the_diagonal_wide() -> None:
    assert boundary_width(360, 480, 0.02) == 12
    assert boundary_width(3, 4, 0.02) == 1
    assert boundary_width(30, 40, 0.05) == 2


def test_a_shifted_square_keeps_less_of_its_boundary_than_of_its_area() -> None:
    reference, labels = np.zeros((2, 100, 100), np.uint8)
    reference[20:80, 20:80] = labels[20:80, 22:82] = 1
    # Frames of 3 pixels: 60 x 60 less 54 x 54; in both 2 x 58 x 3 in the rows, and 1 x 54 x 2 in the columns.
    both, truth, ours = boundary_counts(reference, labels, 2)[1].tolist()
    assert truth == ours == 60 * 60 - 54 * 54
    assert both == 2 * 58 * 3 + 2 * 54 * 1
    assert ClassScores(both, truth, ours).iou == pytest.approx(456 / (2 * 684 - 456))


@given(**MAPS)
@settings(max_examples=15, deadline=None)
def test_ignored_pixels_may_hold_anything(seed: int, count: int, height: int, width: int, block: int) -> None:
    reference, labels = pair_of_maps(seed, count, height, width, block)
    other = np.where(reference == count, 0, labels).astype(labels.dtype)
    assert np.array_equal(boundary_counts(reference, labels, count), boundary_counts(reference, other, count))
