"""The bootstrap against Poisson's distribution, plain sums, and resampling of images."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskbeam.transforms.comparison.bootstrap import interval, ious, means, replicates, weighted_sums, weights
from maskbeam.transforms.elements import Array


def test_weights_are_poissons() -> None:
    drawn = np.concatenate([weights(f"scene/{n}", 1000) for n in range(200)])
    found = np.bincount(drawn, minlength=10) / len(drawn)
    assert found[:8] == pytest.approx([math.exp(-1) / math.factorial(k) for k in range(8)], abs=0.003)
    assert drawn.dtype == np.uint8
    assert drawn.mean() == pytest.approx(1, abs=0.005)
    assert drawn.var() == pytest.approx(1, abs=0.01)


def test_weights_are_the_same_for_ever() -> None:
    """They decide about the bytes of reports."""
    assert weights("a/1", 12).tolist() == [0, 1, 1, 3, 1, 1, 2, 1, 2, 2, 0, 0]
    assert weights("\udcff", 3).tolist() == [1, 1, 1]
    assert weights("a/1", 4).tolist() == weights("a/1", 12).tolist()[:4]


def test_images_draw_apart() -> None:
    drawn = np.array([weights(str(n), 1000) for n in range(40)], float)
    between = np.corrcoef(drawn)[~np.eye(40, dtype=bool)]
    assert np.abs(between).max() < 0.15


def counts_of(number: int, classes: int = 4, seed: int = 3) -> tuple[list[str], Array]:
    """Images of scenes of ten, whose labels are about as good in all of a scene; class 3 is rare."""
    rng = np.random.default_rng(seed)
    good = rng.beta(8, 2, -(-number // 10)).repeat(10)[:number]
    pixels = rng.multinomial(4096, [0.7, 0.2, 0.08, 0.02], number)
    pixels[rng.random(number) < 0.6, 3] = 0
    both = rng.binomial(pixels, good[:, None])
    labels = both + np.roll(pixels - both, 1, axis=1)
    ids = [f"scene{n // 10:03}/img{n % 10}" for n in range(number)]
    return ids, np.stack([both, pixels, labels], axis=-1)[:, :classes]


def test_sums_are_those_of_a_plain_loop() -> None:
    ids, counts = counts_of(30)
    found = weighted_sums(ids, counts, 7)
    for b in range(7):
        assert np.array_equal(
            found[b], sum(int(weights(name, 7)[b]) * own for name, own in zip(ids, counts, strict=True))
        )
    assert found.dtype == np.int64


@given(cuts=st.lists(st.integers(0, 50), max_size=4), seed=st.integers(0, 2**32))
@settings(max_examples=20, deadline=None)
def test_any_split_and_order_gives_the_same_sums(cuts: list[int], seed: int) -> None:
    ids, counts = counts_of(50)
    order, bounds = np.random.default_rng(seed).permutation(50), [0, *sorted(cuts), 50]
    parts = [order[a:b] for a, b in pairwise(bounds)]
    total = sum(weighted_sums([ids[n] for n in part], counts[part], 50) for part in parts)
    assert np.array_equal(total, weighted_sums(ids, counts, 50))


def test_sums_of_large_images_are_exact() -> None:
    counts = np.full((20, 1, 3), 2**44 + 1, np.int64)
    total = sum(int(weights(str(n), 1)[0]) for n in range(20))
    assert weighted_sums([str(n) for n in range(20)], counts, 1)[0, 0, 0] == total * (2**44 + 1)


@pytest.mark.parametrize("grouped", [False, True])
def test_intervals_are_as_wide_as_those_of_resampling(grouped: bool) -> None:
    ids, counts = counts_of(1000)
    groups = [name.split("/")[0] for name in ids] if grouped else ids
    low, high = interval(means(ious(weighted_sums(groups, counts, 1000)))) or (0, 0)
    size = 100 if grouped else 1000
    drawn = np.random.default_rng(0).multinomial(size, [1 / size] * size, 2000).repeat(1000 // size, axis=1)
    both, reference, labels = (drawn.astype(float) @ counts[..., field] for field in range(3))
    below, above = np.percentile(np.nanmean(both / (reference + labels - both), axis=1), [2.5, 97.5])
    assert high - low == pytest.approx(above - below, rel=0.08)
    assert low == pytest.approx(below, abs=0.1 * (above - below))


@given(st.lists(st.one_of(st.floats(0, 1), st.just(math.nan)), min_size=1, max_size=200))
@settings(max_examples=50, deadline=None)
def test_percentiles_are_of_the_nearest_rank(values: list[float]) -> None:
    there = sorted(value for value in values if not math.isnan(value))
    found = interval(np.array(values))
    if not there:
        assert found is None
    else:
        expected = np.percentile(there, [2.5, 97.5], method="inverted_cdf")
        assert found == pytest.approx(tuple(expected), abs=0)


def test_replicates_without_a_class_do_not_tell_of_it() -> None:
    sums = np.array([[[1, 2, 2], [0, 0, 0]], [[0, 0, 0], [0, 0, 0]]])
    np.testing.assert_array_equal(ious(sums), [[1 / 3, np.nan], [np.nan, np.nan]])
    np.testing.assert_array_equal(means(ious(sums)), [1 / 3, np.nan])


def test_sums_of_all_replicates_stay_small() -> None:
    held = [replicates(count) * count * 3 * 8 for count in range(1, 2000)]
    assert max(held) < 8 << 20
    assert replicates(150) == 1000
    assert replicates(301) == 200
