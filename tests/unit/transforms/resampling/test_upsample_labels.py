"""Labels that are settled on the model's grid are those that interpolating every score gives, bit for bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from maskbeam.transforms.argmax import Labeling, argmax, label_map
from maskbeam.transforms.elements import Array, LogitsBatch, Placement, Source
from maskbeam.transforms.resampling import upsample_labels as module
from maskbeam.transforms.resampling.upsample import axes, strips
from maskbeam.transforms.resampling.upsample_labels import leads, upsample_decided
from tests.support.elements import made_input

RANDOM = np.random.default_rng(0)
KINDS = {"logits": 3, "probabilities": 3, "sigmoid": 1, "sigmoid_logits": 1, "multilabel": 3, "multilabel_logits": 3}


def dense(scores: Array, placement: Placement, labeling: Labeling) -> Array:
    """The rule itself: interpolate all, then decide."""
    rows, columns = axes(placement, scores.shape[:2])
    crop = scores[rows.first : rows.stop, columns.first : columns.stop]
    whole = np.empty((scores.shape[2], placement.height, placement.width), np.float32)
    for part, values in strips(crop, rows, columns):
        whole[:, part] = values
    if labeling.kind.startswith("sigmoid"):
        channels, nan = (whole[0] > np.float32(labeling.cut)).astype(np.uint8), np.isnan(whole[0])
    else:
        channels, nan = argmax(np.moveaxis(whole, 0, -1))
    return np.where(nan, labeling.ignore, np.array(labeling.channel_ids)[channels])


def labels_of(scores: Array, placement: Placement, labeling: Labeling) -> Array:
    image = made_input("a", Source("a", "1"), placement, np.zeros((1, 1, 1), np.uint8))
    batch = LogitsBatch((image,), scores[np.newaxis], np.zeros(1, np.int64), np.zeros(1, np.int64))
    made = label_map(batch, labeling)
    return made.pixels


def labeling_of(kind: str, threshold: float = 0.5) -> Labeling:
    ids = (3, 7, 300)[: max(2, KINDS[kind])]
    return Labeling(kind, ids, threshold=threshold, multilabel="argmax", nonfinite="ignore")


def blobs(height: int, width: int, classes: int) -> Array:
    """Smooth scores, as models give: a few waves a class."""
    y, x = np.mgrid[:height, :width] / max(height, width)
    waves = RANDOM.uniform(1, 5, (classes, 4))
    scores = [np.sin(a * x + b) + np.cos(c * y + d) for a, b, c, d in waves]
    return np.stack(scores, axis=-1).astype(np.float32)


def winners(some: Array) -> Array:
    return argmax(np.moveaxis(some, 0, -1))[0]


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """However much is unsettled, and however small the image, it is interpolated block by block."""
    monkeypatch.setattr(module, "MOST_UNSETTLED", 100)
    monkeypatch.setattr(module, "LEAST_PIXELS_PER_CELL", 0)


VALUES = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0, -1.0, 1e-7, 0.5 + 1e-7, 3e38, np.inf, -np.inf, np.nan])
SIZES = st.tuples(st.integers(1, 23), st.integers(1, 23))


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None)
@given(
    data=st.data(),
    size=SIZES,
    grid=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    threshold=st.sampled_from([0.0, 0.3, 0.5, 0.9, 1.0]),
)
def test_any_scores_give_what_interpolating_all_of_them_gives(
    kind: str, data: st.DataObject, size: tuple[int, int], grid: tuple[int, int], threshold: float
) -> None:
    scores = data.draw(arrays(np.float32, (*grid, KINDS[kind]), elements=VALUES))
    placement, labeling = Placement(*size, *grid, 0, 0, *grid), labeling_of(kind, threshold)
    np.testing.assert_array_equal(labels_of(scores, placement, labeling), dense(scores, placement, labeling))


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(97, 61), (16, 24), (7, 9), (1, 200)])
def test_so_do_random_scores_and_letterboxes(kind: str, size: tuple[int, int]) -> None:
    scores = RANDOM.normal(size=(16, 24, KINDS[kind])).astype(np.float32)
    for placement in (Placement(*size, 16, 24, 0, 0, 16, 24), Placement(*size, 32, 48, 5, 2, 17, 41)):
        labeling = labeling_of(kind)
        np.testing.assert_array_equal(labels_of(scores, placement, labeling), dense(scores, placement, labeling))


@pytest.mark.parametrize("classes", [2, 3, 21])
@pytest.mark.parametrize("size", [(300, 500), (64, 130)])
def test_of_smooth_scores_few_pixels_are_interpolated(size: tuple[int, int], classes: int) -> None:
    scores = blobs(64, 64, classes)
    rows, columns = axes(Placement(*size, 64, 64, 0, 0, 64, 64), (64, 64))
    decided = []

    def decide(some: Array) -> Array:
        decided.append(some[0].size)
        return winners(some)

    settled = upsample_decided(scores, rows, columns, decide=decide, lead=leads)
    assert settled is not None
    assert 0 < sum(decided) - 64 * 64 < size[0] * size[1] / 5
    placement = Placement(*size, 64, 64, 0, 0, 64, 64)
    labeling = Labeling("logits", tuple(range(classes)))
    np.testing.assert_array_equal(settled, dense(scores, placement, labeling))
    np.testing.assert_array_equal(labels_of(scores, placement, labeling), settled)


def test_noise_is_left_to_strips() -> None:
    scores = RANDOM.normal(size=(16, 16, 3)).astype(np.float32)
    rows, columns = axes(Placement(50, 50, 16, 16, 0, 0, 16, 16), (16, 16))
    assert upsample_decided(scores, rows, columns, decide=winners, lead=leads) is None


def test_an_image_that_is_hardly_larger_than_the_grid_is_left_to_strips() -> None:
    scores = np.tile(np.arange(3, dtype=np.float32), (8, 8, 1))
    for width, settles in ((16, True), (15, False)):
        rows, columns = axes(Placement(8, width, 8, 8, 0, 0, 8, 8), (8, 8))
        assert (upsample_decided(scores, rows, columns, decide=winners, lead=leads) is not None) == settles


def test_a_block_that_is_larger_than_a_strip_is_left_to_strips() -> None:
    scores = np.tile(np.arange(3, dtype=np.float32), (4, 4, 1))
    for side, settles in ((200, True), (1200, False)):
        rows, columns = axes(Placement(side, side, 4, 4, 0, 0, 4, 4), (4, 4))
        assert (upsample_decided(scores, rows, columns, decide=winners, lead=leads) is not None) == settles


def test_a_lead_that_rounding_may_lose_settles_nothing() -> None:
    scores = np.full((8, 8, 2), 1000, np.float32)
    scores[..., 1] += np.float32(1e-3)
    rows, columns = axes(Placement(16, 16, 8, 8, 0, 0, 8, 8), (8, 8))
    assert upsample_decided(scores, rows, columns, decide=winners, lead=leads) is None
    scores[..., 1] += np.float32(1)
    assert upsample_decided(scores, rows, columns, decide=winners, lead=leads) is not None


@given(arrays(np.float32, st.tuples(st.integers(1, 5), st.integers(1, 4)), elements=st.floats(-9, 9, width=32)))
def test_the_lead_is_that_of_the_largest_over_the_second(cells: Array) -> None:
    ordered = np.sort(np.concatenate([np.full((1, cells.shape[1]), -np.inf, np.float32), cells]), axis=0)
    np.testing.assert_array_equal(leads(cells), ordered[-1] - ordered[-2])


def test_a_nan_has_no_lead() -> None:
    cells = RANDOM.normal(size=(3, 4)).astype(np.float32)
    for channel in range(3):
        damaged = cells.copy()
        damaged[channel, 1] = np.nan
        assert np.isnan(leads(damaged)).tolist() == [False, True, False, False]
