import tracemalloc

import cv2
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from maskbeam.transforms.elements import Array, Placement
from maskbeam.transforms.resampling.upsample import STRIP_BYTES, axes, bands, crop, nearest, strips
from tests.support.scored import scores_of, whole


def restored(scores: Array, placement: Placement) -> Array:
    """`[H, W, C]`, strips put together."""
    rows, columns = axes(placement, (scores.shape[0], scores.shape[1]))
    found = np.full((scores.shape[2], placement.height, placement.width), np.nan, np.float32)
    for where, strip in strips(crop(scores, rows, columns), rows, columns):
        found[:, where] = strip
    return found.transpose(1, 2, 0)


def bilinear_loop(scores: Array, placement: Placement) -> Array:
    """The same by its definition, pixel by pixel: the box is cut out first, so that padding takes no part."""
    p, (h, w, C) = placement, scores.shape
    result = np.empty((p.height, p.width, C))

    def neighbours(i: int, size: int, start: int, length: int, plane: int, cells: int) -> tuple[int, int, float]:
        at = (start + (i + 0.5) * length / size) * cells / plane - 0.5
        first, last = start * cells // plane, -(-(start + length) * cells // plane) - 1
        at = min(max(at, first), last)
        low = int(np.floor(at))
        return low, min(low + 1, last), at - low

    for y in range(p.height):
        for x in range(p.width):
            y0, y1, fy = neighbours(y, p.height, p.top, p.box_height, p.input_height, h)
            x0, x1, fx = neighbours(x, p.width, p.left, p.box_width, p.input_width, w)
            top = scores[y0, x0] * (1 - fx) + scores[y0, x1] * fx
            bottom = scores[y1, x0] * (1 - fx) + scores[y1, x1] * fx
            result[y, x] = top * (1 - fy) + bottom * fy
    return result


@pytest.mark.parametrize(
    ("grid", "size"),
    [((128, 128), (360, 480)), ((32, 48), (33, 47)), ((64, 64), (20, 31)), ((5, 7), (5, 700)), ((1, 1), (9, 4))],
)
@pytest.mark.parametrize("C", [1, 3, 21])
def test_logits_are_restored_to_the_bits_of_tf_image_resize(
    grid: tuple[int, int], size: tuple[int, int], C: int
) -> None:
    scores = scores_of(1, *grid, C)
    expected = tf.image.resize(scores, size).numpy()
    found = restored(scores, whole(size, grid))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(found.argmax(-1), expected.argmax(-1))


boxes = st.integers(1, 12).flatmap(lambda n: st.tuples(st.integers(0, 5), st.just(n), st.integers(0, 5)))


@settings(max_examples=60, deadline=None)
@given(boxes, boxes, st.integers(1, 14), st.integers(1, 14), st.sampled_from([1, 2, 4]))
def test_any_box_on_any_grid_is_restored_as_by_definition(
    rows: tuple[int, int, int], columns: tuple[int, int, int], height: int, width: int, stride: int
) -> None:
    plane = (stride * -(-sum(rows) // stride), stride * -(-sum(columns) // stride))
    placement = Placement(height, width, *plane, rows[0], columns[0], rows[1], columns[1])
    scores = scores_of(2, plane[0] // stride, plane[1] // stride, 2)
    np.testing.assert_allclose(restored(scores, placement), bilinear_loop(scores, placement), atol=2e-4)


def test_padding_takes_no_part() -> None:
    scores = np.full((8, 8, 1), np.nan, np.float32)
    scores[2:6] = 1.0
    assert (restored(scores, Placement(30, 50, 64, 64, 16, 0, 32, 64)) == 1).all()


def test_an_image_of_the_models_size_comes_back_as_it_is() -> None:
    scores = scores_of(3, 40, 30, 4)
    np.testing.assert_array_equal(restored(scores, whole((40, 30), (80, 60))), scores)


def test_an_image_padded_to_a_stride_is_only_cut() -> None:
    scores = scores_of(4, 64, 96, 2)
    np.testing.assert_array_equal(restored(scores, Placement(50, 90, 64, 96, 3, 2, 50, 90)), scores[3:53, 2:92])


def test_infinities_stay_on_their_side() -> None:
    scores = np.zeros((4, 4, 2), np.float32)
    scores[..., 0], scores[:, :2, 1], scores[:, 2:, 1] = -np.inf, np.inf, -np.inf
    found = restored(scores, whole((16, 16), (4, 4)))
    assert np.isfinite(found).all()
    assert (found[:, :6, 1] > found[:, :6, 0]).all()


@pytest.mark.parametrize(("grid", "size"), [((128, 128), (360, 480)), ((16, 12), (17, 11)), ((20, 30), (7, 9))])
def test_labels_are_restored_as_by_tensorflow(grid: tuple[int, int], size: tuple[int, int]) -> None:
    labels = np.random.default_rng(5).integers(0, 9, grid).astype(np.uint8)
    found = nearest(labels, *axes(whole(size, grid), grid))
    np.testing.assert_array_equal(found, tf.image.resize(labels[..., None], size, method="nearest")[..., 0])


def test_labels_are_restored_as_by_pillow_and_opencv_where_no_centre_lies_between_two_cells() -> None:
    labels = np.random.default_rng(5).integers(0, 9, (13, 16)).astype(np.uint8)
    found = nearest(labels, *axes(whole((41, 64), (13, 16)), (13, 16)))
    np.testing.assert_array_equal(found, Image.fromarray(labels).resize((64, 41), Image.Resampling.NEAREST))
    np.testing.assert_array_equal(found, cv2.resize(labels, (64, 41), interpolation=cv2.INTER_NEAREST_EXACT))


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 9), st.integers(0, 9), st.sampled_from([1, 2, 4]))
def test_the_nearest_cell_is_the_one_that_holds_the_centre(
    n: int, box: int, before: int, after: int, by: int
) -> None:
    plane = by * -(-(before + box + after) // by)
    rows, _ = axes(Placement(n, 1, plane, 1, before, 0, box, 1), (plane // by, 1))
    for i, cell in enumerate(rows.nearest):
        # Twice the centre's distance from the grid's edge, times n, in whole numbers.
        centre = 2 * before * n + (2 * i + 1) * box
        assert 2 * n * by * (rows.first + cell) <= centre < 2 * n * by * (rows.first + cell + 1)


def test_150_classes_at_12_megapixels_stay_within_256_mb() -> None:
    grid, size, C = (16, 16), (3000, 4000), 150
    scores = scores_of(6, *grid, C)
    rows, columns = axes(whole(size, grid), grid)
    # Strips are alike, so a few show what all of them need.
    few = columns.low[: max(1, 6 * STRIP_BYTES // (4 * C * size[1]))].size
    tracemalloc.start()
    for _, (where, _) in zip(range(few), strips(scores, rows, columns), strict=False):
        assert where.stop <= size[0]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    label_map_bytes = size[0] * size[1]
    assert peak + label_map_bytes < 256 * 2**20


def test_bands_hold_the_scores_as_they_are() -> None:
    scores = scores_of(7, 300, 500, 3).astype(np.float16)
    found = np.concatenate([band.copy() for _, band in bands(scores)], axis=1)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, scores.transpose(2, 0, 1))
