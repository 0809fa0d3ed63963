import json
from collections import Counter
from functools import reduce
from operator import add

import numpy as np
import pytest
from apache_beam import Create, Map
from apache_beam.testing.util import assert_that, equal_to
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from sklearn.metrics import confusion_matrix

from maskbeam.transforms.elements import Array, Labels
from maskbeam.transforms.measures.statistics import (
    Counted,
    PixelStatistics,
    Statistics,
    SumStatistics,
    count,
    count_pixels,
    statistics,
)
from tests.support.elements import made_labels
from tests.support.graph import local_pipeline
from tests.support.scored import SOURCE, labelled

IDS, IGNORE = (7, 0, 3), 255
label_arrays = arrays(np.uint8, array_shapes(min_dims=2, max_dims=2), elements=st.sampled_from([*IDS, IGNORE]))
label_maps = label_arrays.map(
    lambda labels: labelled(labels, confidence_sum=int(labels.sum()), confidence_pixels=labels.size, nonfinite=1)
)


@settings(max_examples=50, deadline=None)
@given(label_maps)
def test_counts_sum_to_h_times_w_and_are_a_plain_loops(labels: Labels) -> None:
    found = PixelStatistics.of(labels, IDS)
    height, width = labels.pixels.shape
    counts = dict.fromkeys([*IDS, IGNORE], 0)
    for row in labels.pixels.tolist():
        for pixel in row:
            counts[pixel] += 1
    assert sum(found.pixels.values()) + found.ignored == found.total == height * width
    assert {**found.pixels, IGNORE: found.ignored} == counts
    assert found.images_with == Counter({i: int(counts[i] > 0) for i in IDS})
    labelled_pixels = found.total - found.ignored
    for i in IDS:
        assert found.around[i] == labelled_pixels * (counts[i] > 0)
        assert found.shares[i] == (counts[i] * 10**9 // labelled_pixels if labelled_pixels else 0)


@settings(max_examples=50, deadline=None)
@given(st.lists(label_maps, max_size=6), st.data())
def test_any_split_of_the_images_merges_to_the_same(images: list[Labels], data: st.DataObject) -> None:
    whole = statistics(images, IDS)
    order = data.draw(st.permutations(images))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(images)), max_size=3)))
    parts = [statistics(order[a:b], IDS) for a, b in zip([0, *cuts], [*cuts, len(images)], strict=True)]
    assert reduce(add, reversed(parts)) == whole
    sent = [PixelStatistics.from_json(json.loads(json.dumps(part.to_json()))) for part in parts]
    assert sum(sent, PixelStatistics.zero()) == whole


@settings(max_examples=50, deadline=None)
@given(st.lists(label_maps, max_size=6))
def test_what_is_counted_of_images_sums_to_the_same_also_from_their_json(images: list[Labels]) -> None:
    counted = [count(labels, IDS) for labels in images]
    sent = [json.loads(json.dumps(PixelStatistics.of(labels, IDS).to_json())) for labels in images]
    assert [Counted.from_json(values) for values in sent] == counted
    assert PixelStatistics.sum(counted, IDS) == statistics(images, IDS)


def test_counts_are_scikit_learns() -> None:
    labels = np.random.default_rng(1).choice(np.array(IDS, np.uint8), (50, 60))
    expected = confusion_matrix(labels.ravel(), labels.ravel(), labels=IDS).diagonal()
    assert count_pixels(labels, IDS) == expected.tolist()


@pytest.mark.parametrize(("dtype", "classes"), [(np.uint8, 3), (np.uint8, 150), (np.uint16, 3), (np.uint16, 300)])
def test_few_and_many_classes_are_counted_alike(dtype: type, classes: int) -> None:
    ids = np.random.default_rng(2).permutation(classes * 200 if dtype == np.uint16 else 255)[:classes]
    labels: Array = np.random.default_rng(3).choice(ids, (700, 500)).astype(dtype)
    assert count_pixels(labels, ids.tolist()) == [int((labels == i).sum()) for i in ids]


def test_zero_lists_the_classes_in_the_tables_order() -> None:
    one = PixelStatistics.of(labelled(np.array([[3]], np.uint8)), (3,))
    assert list((PixelStatistics.zero(IDS) + one).pixels.items()) == [(7, 0), (0, 0), (3, 1)]
    assert PixelStatistics.zero(IDS) == PixelStatistics.zero()


def test_an_image_of_ignored_pixels_alone_has_no_shares() -> None:
    found = PixelStatistics.of(labelled(np.full((2, 3), IGNORE, np.uint8)), IDS)
    assert (found.ignored, found.total, found.shares) == (6, 6, Counter())


def test_planes_are_counted_each_on_its_own() -> None:
    planes: Array = np.array([[[True, True]], [[True, False]], [[False, False]]])
    found = PixelStatistics.of(made_labels("a", SOURCE, planes), IDS)
    assert (found.pixels, found.total, found.ignored, found.independent) == (Counter({7: 2, 0: 1}), 2, 0, True)
    assert found.shares == Counter({7: 10**9, 0: 10**9 // 2})
    assert PixelStatistics.from_json(found.to_json()).independent


def test_json_leaves_out_what_is_zero() -> None:
    found = PixelStatistics.of(labelled(np.array([[3, 3]], np.uint8)), IDS)
    assert found.to_json() == {"images": 1, "total": 2, "classes": {"3": [2, 1, 10**9, 2]}}


@pytest.mark.parametrize("broken", [{}, {"classes": 3}, {"classes": {"a": [1, 2, 3]}}, {"classes": {"1": [1]}}])
def test_other_json_is_refused(broken: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"pixel statistics|invalid literal|not enough values"):
        PixelStatistics.from_json(broken)


@pytest.mark.parametrize("broken", [{}, {"classes": 3}, {"classes": {"a": [1]}}, {"classes": {"1": []}}])
def test_other_json_is_nothing_counted(broken: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"pixel statistics|invalid literal"):
        Counted.from_json(broken)


def test_in_a_graph() -> None:
    images = [labelled(np.full((2, 2), i, np.uint8)) for i in IDS]
    with local_pipeline() as root:
        found = root | Create(images) | Statistics(IDS) | Map(PixelStatistics.to_json)
        assert_that(found, equal_to([statistics(images, IDS).to_json()]))


def test_accumulators_merge_also_when_there_are_none() -> None:
    combine = SumStatistics(IDS)
    assert combine.extract_output(combine.merge_accumulators([])) == PixelStatistics.zero(IDS)
