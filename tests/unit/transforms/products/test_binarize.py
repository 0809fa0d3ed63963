import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from maskbeam.transforms.elements import Array
from maskbeam.transforms.products.binarize import binarize

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
