"""Generated colours must be told apart by eye, and be the same every time."""

import cv2
import numpy as np
import pytest

from maskbeam.transforms.classes.palettes import generate_colors, rgb_to_lab


def closest(colors: list[tuple[int, int, int]]) -> float:
    """The smallest distance between two colours in OpenCV's CIELAB."""
    lab = cv2.cvtColor(np.array([colors], np.float32) / 255, cv2.COLOR_RGB2LAB)[0].astype(float)
    distances = np.linalg.norm(lab[:, None] - lab[None], axis=-1)
    return float(distances[~np.eye(len(colors), dtype=bool)].min())


@pytest.mark.parametrize(("count", "least"), [(2, 80), (5, 75), (8, 55), (21, 35), (40, 25), (150, 14)])
def test_colors_are_far_apart(count: int, least: float) -> None:
    assert closest([*generate_colors(count), (0, 0, 0), (255, 255, 255)]) > least


def test_colors_stay_away_from_those_taken() -> None:
    taken = generate_colors(20)
    more = generate_colors(10, taken=taken)
    assert not set(taken) & set(more)
    assert closest(taken + more) > 25


def test_more_classes_keep_the_first_colors() -> None:
    assert generate_colors(30)[:10] == generate_colors(10)


def test_colors_are_distinct_up_to_the_largest_table() -> None:
    colors = generate_colors(65536)
    assert len(set(colors)) == 65536
    assert all(0 <= value <= 255 for color in colors for value in color)


def test_lab_agrees_with_opencv() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (1, 500, 3))
    expected = cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    np.testing.assert_allclose(rgb_to_lab(rgb), expected, atol=0.3)
