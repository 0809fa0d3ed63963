import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from maskbeam.transforms.strips import in_strips


@given(st.integers(0, 3000), st.integers(0, 1000), st.sampled_from(((), (3,))))
def test_strips_are_all_rows_once_and_in_order(height: int, width: int, more: tuple[int, ...]) -> None:
    rows = [np.arange(height)[strip] for strip in in_strips((height, width, *more))]
    assert np.array_equal(np.concatenate([*rows, np.arange(0)]), np.arange(height))
    assert all(0 < len(each) * width <= max(1 << 18, width) for each in rows if width)


def test_a_row_of_any_width_is_a_strip() -> None:
    assert list(in_strips((2, 1 << 20))) == [slice(0, 1), slice(1, 2)]
