from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from sklearn.metrics import confusion_matrix

from maskbeam.transforms.elements import Array, Labels
from maskbeam.transforms.measures.counted import Counted, Sums, count
from maskbeam.transforms.measures.pixel_statistics import PixelStatistics, count_pixels
from maskbeam.transforms.measures.pixels import PIXELS
from tests.support.scored import labelled

IDS, IGNORE = (7, 0, 3), 255
label_arrays = arrays(np.uint8, array_shapes(min_dims=2, max_dims=2), elements=st.sampled_from([*IDS, IGNORE]))


def of(labels: Labels) -> PixelStatistics:
    return PixelStatistics.sum([count(labels, IDS)[PIXELS]])


@settings(max_examples=50, deadline=None)
@given(label_arrays)
def test_counts_sum_to_h_times_w_and_are_a_plain_loops(labels: Array) -> None:
    found = of(labelled(labels))
    height, width = labels.shape
    counts = dict.fromkeys([*IDS, IGNORE], 0)
    for row in labels.tolist():
        for pixel in row:
            counts[pixel] += 1
    assert sum(found.pixels.values()) + found.ignored == found.total == height * width
    assert Counter({**found.pixels, IGNORE: found.ignored}) == Counter(counts)
    assert found.images_with == Counter({i: int(counts[i] > 0) for i in IDS})
    labelled_pixels = found.total - found.ignored
    for i in IDS:
        assert found.around[i] == labelled_pixels * (counts[i] > 0)
        assert found.shares[i] == (counts[i] * 10**9 // labelled_pixels if labelled_pixels else 0)


def test_counts_are_scikit_learns() -> None:
    labels = np.random.default_rng(1).choice(np.array(IDS, np.uint8), (50, 60))
    expected = confusion_matrix(labels.ravel(), labels.ravel(), labels=IDS).diagonal()
    assert count_pixels(labels, IDS) == expected.tolist()


@pytest.mark.parametrize(("dtype", "classes"), [(np.uint8, 3), (np.uint8, 150), (np.uint16, 3), (np.uint16, 300)])
def test_few_and_many_classes_are_counted_alike(dtype: type, classes: int) -> None:
    ids = np.random.default_rng(2).permutation(classes * 200 if dtype == np.uint16 else 255)[:classes]
    labels: Array = np.random.default_rng(3).choice(ids, (700, 500)).astype(dtype)
    assert count_pixels(labels, ids.tolist()) == [int((labels == i).sum()) for i in ids]


def test_an_image_of_ignored_pixels_alone_has_no_shares() -> None:
    found = of(labelled(np.full((2, 3), IGNORE, np.uint8)))
    assert (found.ignored, found.total, found.shares) == (6, 6, Counter())


def test_planes_are_counted_each_on_its_own() -> None:
    planes: Array = np.array([[[True, True]], [[True, False]], [[False, False]]])
    found = of(labelled(planes))
    assert (found.pixels, found.total, found.ignored, found.independent) == (Counter({7: 2, 0: 1}), 2, 0, True)
    assert found.shares == Counter({7: 10**9, 0: 10**9 // 2})
    assert PixelStatistics.from_json(found.to_json()).independent


def test_json_leaves_out_what_is_zero() -> None:
    counted = count(labelled(np.array([[3, 3]], np.uint8)), IDS)
    assert counted.to_json() == {"images": 1, "total": 2, "classes": {"3": [2, 1, 10**9, 2]}}


@pytest.mark.parametrize("broken", [{}, {"classes": 3}, {"classes": {"a": [1, 2, 3]}}, {"classes": {"1": [1]}}])
def test_other_json_is_refused(broken: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"no sums|invalid literal|not enough values|shorter"):
        Sums.from_json(broken)


@pytest.mark.parametrize("broken", [{}, {"classes": 3}, {"classes": {"a": [1]}}, {"classes": {"1": []}}])
def test_other_json_is_nothing_counted(broken: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"no counts|invalid literal"):
        Counted.from_json(broken)
