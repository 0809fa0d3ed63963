import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskbeam.transforms.elements import Array
from maskbeam.transforms.products.colorize import colorize
from maskbeam.transforms.products.overlay import overlay
from maskbeam.transforms.products.palette import make_palette

PALETTE = make_palette({0: (0, 0, 0), 1: (255, 255, 255), 2: (10, 200, 77)})


def some_image(dtype: type, C: int = 3) -> Array:
    return np.random.default_rng(1).integers(0, 256, (6, 8, C)).astype(dtype)


def some_labels(dtype: type = np.uint8) -> Array:
    return np.random.default_rng(2).integers(0, 3, (6, 8)).astype(dtype)


@settings(max_examples=40, deadline=None)
@given(st.floats(0, 1), st.sampled_from([np.uint8, np.uint16]))
def test_it_is_the_rounded_blend(opacity: float, dtype: type) -> None:
    image, labels = some_image(np.uint8), some_labels(dtype)
    share = round(opacity * 256) / 256
    expected = np.floor((1 - share) * image + share * colorize(labels, PALETTE) + 0.5)
    np.testing.assert_array_equal(overlay(image, labels, PALETTE, opacity=opacity), expected)


def test_the_ends_are_the_image_and_the_colours() -> None:
    image, labels = some_image(np.uint8), some_labels()
    np.testing.assert_array_equal(overlay(image, labels, PALETTE, opacity=0), image)
    np.testing.assert_array_equal(overlay(image, labels, PALETTE, opacity=1), colorize(labels, PALETTE))


def test_ignored_pixels_stay_the_images() -> None:
    image, labels = some_image(np.uint8), some_labels()
    labels[2:4] = 255
    found = overlay(image, labels, PALETTE, ignore=255)
    np.testing.assert_array_equal(found[2:4], image[2:4])
    assert (found[:2] != image[:2]).any()


@pytest.mark.parametrize(("C", "shown"), [(1, [0, 0, 0]), (2, [0, 0, 0]), (3, [0, 1, 2]), (5, [0, 1, 2])])
def test_any_number_of_channels_and_floats_can_be_drawn_on(C: int, shown: list[int]) -> None:
    image = some_image(np.uint8, C)
    found = overlay(image.astype(np.float32) + np.float32(0.3), some_labels(), PALETTE)
    np.testing.assert_array_equal(found, overlay(image[..., shown], some_labels(), PALETTE))


def test_floats_beyond_the_scale_are_clipped() -> None:
    image = np.array([[[-20.0, 300.0, 255.4]]])
    assert overlay(image, np.zeros((1, 1), np.uint8), PALETTE, opacity=0).tolist() == [[[0, 255, 255]]]


def test_labels_of_another_size_are_fitted_to_the_image() -> None:
    labels = np.array([[0, 1]], np.uint8)
    found = overlay(some_image(np.uint8), labels, PALETTE, opacity=1)
    assert (found[:, :4] == 0).all()
    assert (found[:, 4:] == 255).all()


def test_an_image_of_many_strips_is_drawn_as_one_row_by_row() -> None:
    rng = np.random.default_rng(3)
    image, labels = rng.integers(0, 256, (700, 999, 3), np.uint8), rng.integers(0, 4, (700, 999), np.uint8)
    found = overlay(image, labels, PALETTE, opacity=0.3, ignore=3)
    rows = [
        overlay(image[row : row + 1], labels[row : row + 1], PALETTE, opacity=0.3, ignore=3) for row in range(700)
    ]
    np.testing.assert_array_equal(found, np.concatenate(rows))
