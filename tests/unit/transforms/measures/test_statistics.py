import json
from collections import Counter
from functools import reduce
from operator import add

import numpy as np
from apache_beam import Create, Map
from apache_beam.testing.util import assert_that, equal_to
from hypothesis import given, settings
from hypothesis import strategies as st

from maskbeam.transforms.elements import Labels
from maskbeam.transforms.measures.counted import Counted, Sums, count
from maskbeam.transforms.measures.pixels import PIXELS
from maskbeam.transforms.measures.statistics import Statistics, SumStatistics, statistics
from tests.support.graph import local_pipeline
from tests.support.scored import labelled
from tests.unit.transforms.measures.test_pixels import IDS, IGNORE, label_arrays

label_maps = label_arrays.map(
    lambda labels: labelled(labels, confidence_sum=int(labels.sum()), confidence_pixels=labels.size, nonfinite=1)
)


@settings(max_examples=50, deadline=None)
@given(st.lists(label_maps, max_size=6), st.data())
def test_any_split_of_the_images_merges_to_the_same(images: list[Labels], data: st.DataObject) -> None:
    whole = statistics(images, IDS)
    order = data.draw(st.permutations(images))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(images)), max_size=3)))
    parts = [statistics(order[a:b], IDS) for a, b in zip([0, *cuts], [*cuts, len(images)], strict=True)]
    assert reduce(add, reversed(parts)) == whole
    sent = [Sums.from_json(json.loads(json.dumps(part.to_json()))) for part in parts]
    assert sum(sent, Sums.zero()).to_json() == whole.to_json()


@settings(max_examples=50, deadline=None)
@given(st.lists(label_maps, max_size=6))
def test_what_is_counted_of_images_sums_to_the_same_also_from_their_json(images: list[Labels]) -> None:
    counted = [count(labels, IDS) for labels in images]
    sent = [json.loads(json.dumps(each.to_json())) for each in counted]
    assert [Counted.from_json(values) for values in sent] == counted
    assert Sums.over(("", each) for each in counted) == statistics(images, IDS)


def test_in_a_graph() -> None:
    images = [labelled(np.full((2, 2), i, np.uint8)) for i in (*IDS, IGNORE)]
    with local_pipeline() as root:
        found = root | Create(images) | Statistics(IDS) | Map(Sums.to_json)
        assert_that(found, equal_to([statistics(images, IDS).to_json()]))
    assert statistics(images, IDS)[PIXELS].pixels == Counter(dict.fromkeys(IDS, 4))


def test_accumulators_merge_also_when_there_are_none() -> None:
    combine = SumStatistics(IDS)
    assert combine.extract_output(combine.merge_accumulators([])) == Sums.zero()
