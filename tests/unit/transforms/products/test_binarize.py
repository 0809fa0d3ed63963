import numpy as np
from apache_beam import Create, Map
from apache_beam.testing.util import assert_that, equal_to
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from maskbeam.transforms.elements import Array
from maskbeam.transforms.products.binarize import Binarize, binarize, binarize_scores
from tests.support.graph import local_pipeline
from tests.support.scored import labelled

IDS, IGNORE = (0, 3, 7), 255


@settings(max_examples=50, deadline=None)
@given(arrays(np.uint8, array_shapes(min_dims=2, max_dims=2), elements=st.sampled_from([*IDS, IGNORE])))
def test_masks_of_all_classes_partition_the_label_map(labels: Array) -> None:
    masks = np.stack([binarize(labels, i) for i in IDS])
    assert masks.dtype == np.uint8
    assert set(np.unique(masks)) <= {0, 255}
    owners = (masks == 255).sum(axis=0)
    np.testing.assert_array_equal(owners, labels != IGNORE)
    np.testing.assert_array_equal((masks // 255 * np.array(IDS)[:, None, None]).sum(axis=0), labels * owners)


def test_ids_of_16_bits() -> None:
    assert binarize(np.array([[300, 44]], np.uint16), 300).tolist() == [[255, 0]]


def test_scores_above_a_threshold() -> None:
    scores = np.array([0.2, 0.5, 0.7, np.nan])
    assert binarize_scores(scores, 0.5).tolist() == [0, 0, 255, 0]


def test_in_a_graph() -> None:
    with local_pipeline() as root:
        masks = root | Create([labelled(np.array([[3, 7]], np.uint8))]) | Binarize(7)
        assert_that(masks | Map(lambda pair: (pair[0], pair[1].tolist())), equal_to([("a", [[0, 255]])]))
