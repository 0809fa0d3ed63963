import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from maskbeam.transforms.elements import Image, Origin, Region, Source
from maskbeam.transforms.tiling.work import Work, stored_bytes

works = st.builds(Work, st.integers(0, 9), st.integers(0, 9), st.integers(0, 9))


@given(st.lists(works), st.lists(works))
def test_any_split_sums_to_the_same(one: list[Work], other: list[Work]) -> None:
    assert Work.sum([Work.sum(one), Work.sum(other)]) == Work.sum([*one, *other])
    plain = Work()
    for each in [*one, *other]:
        plain = plain.plus(windows=each.windows, empty=each.empty, bytes=each.bytes)
    assert plain == Work.sum([*one, *other])


def test_bytes_are_those_of_the_file_and_not_of_what_is_fed() -> None:
    def image(**facts: str) -> Image:
        return Image(Origin("a", Source("a", "1"), facts=facts), Region(0, 0, 4, 5), np.zeros((4, 5, 3), np.float32))

    assert stored_bytes(image()) == 60
    assert stored_bytes(image(samples="uint16")) == 120
    assert stored_bytes(image(samples="float64,uint8")) == 480
