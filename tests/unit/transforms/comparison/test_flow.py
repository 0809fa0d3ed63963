"""The flow against scikit-learn's confusion matrix, and what must always hold."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from maskbeam.transforms.comparison.flow import NOTHING, Flow, counted, flow, joined, of_classes
from maskbeam.transforms.elements import Array
from tests.unit.transforms.comparison.label_maps import MAPS, pair_of_maps


def dense(found: Flow, count: int) -> Array:
    matrix = np.zeros((count + 1) ** 2, np.int64)
    matrix[found.pairs] = found.pixels
    return matrix.reshape(count + 1, count + 1)


def same(one: Flow, other: Flow) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@given(**{**MAPS, "count": st.sampled_from([1, 2, 5, 150, 255, 256, 300])})
@settings(max_examples=25, deadline=None)
def test_a_flow_is_scikit_learns_confusion_matrix(seed: int, count: int, height: int, width: int, block: int) -> None:
    reference, labels = pair_of_maps(seed, count, height, width, block)
    found, known = flow(reference, labels, count), reference != count
    expected = np.zeros((count + 1, count + 1), np.int64)
    if known.any():
        expected = metrics.confusion_matrix(reference[known], labels[known], labels=range(count + 1))
    assert np.array_equal(dense(found, count), expected)
    assert all(field.dtype == np.int64 for field in found)
    assert found.images.tolist() == [1] * len(found.pairs)
    assert np.array_equal(of_classes(found, count)[:, 0], np.diagonal(expected)[:count])
    assert np.array_equal(of_classes(found, count)[:, 1], expected.sum(axis=1)[:count])
    assert np.array_equal(of_classes(found, count)[:, 2], expected.sum(axis=0)[:count])


@pytest.mark.parametrize("block", [1, 16])
def test_as_many_classes_as_ids_can_name_are_counted(block: int) -> None:
    reference, labels = pair_of_maps(3, 65535, 20, 30, block)
    found = flow(reference, labels, 65535)
    cells: dict[tuple[int, int], int] = {}
    for pair in zip(reference.ravel().tolist(), labels.ravel().tolist(), strict=True):
        cells[pair] = cells.get(pair, 0) + (pair[0] != 65535)
    expected = {a * 65536 + b: pixels for (a, b), pixels in cells.items() if pixels}
    assert dict(zip(found.pairs.tolist(), found.pixels.tolist(), strict=True)) == expected
    assert found.pairs.tolist() == sorted(expected)


@given(**MAPS, cut=st.integers(0, 40))
@settings(max_examples=20, deadline=None)
def test_any_split_gives_the_same_sums(seed: int, count: int, height: int, width: int, block: int, cut: int) -> None:
    reference, labels = pair_of_maps(seed, count, height, width, block)
    parts = [flow(reference[at], labels[at], count) for at in (slice(cut), slice(cut, None))]
    whole, total = flow(reference, labels, count), joined(parts)
    assert np.array_equal(total.pairs, whole.pairs)
    assert np.array_equal(total.pixels, whole.pixels)
    assert total.images.sum() == sum(len(part.pairs) for part in parts)


@given(seed=st.integers(0, 2**32), cuts=st.lists(st.integers(0, 7), max_size=3))
@settings(max_examples=15, deadline=None)
def test_flows_of_images_add_up_in_any_order_and_grouping(seed: int, cuts: list[int]) -> None:
    flows = [flow(*pair_of_maps(seed + n, 4, 9, 11, 3), 4) for n in range(7)]
    order = np.random.default_rng(seed).permutation(7)
    bounds = [0, *sorted(cuts), 7]
    groups = [joined([flows[n] for n in order[a:b]]) for a, b in pairwise(bounds)]
    assert same(joined(groups), joined(flows))
    assert same(joined([joined(flows), NOTHING]), joined(flows))
    assert joined(flows).images.max() <= 7


@given(**MAPS)
@settings(max_examples=20, deadline=None)
def test_ignored_pixels_may_hold_anything(seed: int, count: int, height: int, width: int, block: int) -> None:
    reference, labels = pair_of_maps(seed, count, height, width, block)
    other = np.where(reference == count, np.random.default_rng(seed).integers(0, count + 1, labels.shape), labels)
    assert same(flow(reference, labels, count), flow(reference, other.astype(labels.dtype), count))


@given(**{**MAPS, "count": st.sampled_from([2, 5, 150, 300])})
@settings(max_examples=20, deadline=None)
def test_exchange_of_two_classes_exchanges_their_rows(
    seed: int, count: int, height: int, width: int, block: int
) -> None:
    reference, labels = pair_of_maps(seed, count, height, width, block)
    order = np.arange(count + 1, dtype=reference.dtype)
    order[[0, count - 1]] = order[[count - 1, 0]]
    found, other = flow(reference, labels, count), flow(order[reference], order[labels], count)
    assert np.array_equal(dense(other, count), dense(found, count)[order][:, order])


def test_long_and_short_runs_are_counted_alike() -> None:
    short = np.random.default_rng(0).integers(0, 900, 4000).astype(np.uint16)
    for numbers in (short, np.sort(short)):
        distinct, pixels = np.unique(numbers, return_counts=True)
        for kind in (np.uint16, np.int64):
            found = counted(numbers.astype(kind))
            assert np.array_equal(found[0], distinct)
            assert np.array_equal(found[1], pixels)


def test_an_image_without_known_pixels_has_no_flow() -> None:
    nothing = flow(np.full((3, 4), 2, np.uint8), np.zeros((3, 4), np.uint8), 2)
    assert same(nothing, NOTHING)
    assert of_classes(nothing, 2).tolist() == [[0, 0, 0], [0, 0, 0]]


def test_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(3, 2\)"):
        flow(np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8), 2)
