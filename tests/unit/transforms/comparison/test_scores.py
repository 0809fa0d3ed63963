"""Scores against scikit-learn, and on images with absent classes, ignored pixels and abstentions."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from maskbeam.transforms.comparison.flow import flow, joined, of_classes
from maskbeam.transforms.comparison.image_means import image_sums, own_shares
from maskbeam.transforms.comparison.scores import SHARE, Scores, ious, mean, shares
from maskbeam.transforms.elements import Array
from maskbeam.transforms.measures.class_summary import ratio
from tests.unit.transforms.comparison.label_maps import MAPS, pair_of_maps

# Of `images`, by plain loops over their pixels.
DATA_SET = {
    "known": 5040,
    "coverage": 0.9722222222222222,
    "frequency_weighted_iou": 0.8275879058277821,
    "mdice": 0.679254576521124,
    "mean_class_accuracy": 0.8881932742751081,
    "miou": 0.620728195224307,
    "miou_classes_in_reference": 0.8276375936324093,
    "pixel_accuracy": 0.8878968253968254,
}
IMAGE_MEANS = [0.821227017589494, 0.8181904621500957, 0.83939888693883, np.nan, 0.0, 0.7416416768072179]


def number(value: float | None) -> float:
    return np.nan if value is None else value


@given(**{name: strategy for name, strategy in MAPS.items() if name != "count"})
@settings(max_examples=20, deadline=None)
def test_scores_are_scikit_learns(seed: int, height: int, width: int, block: int) -> None:
    reference, labels = pair_of_maps(seed, 5, height, width, block)
    scores, known = Scores.of(flow(reference, labels, 5), 5), reference != 5
    truth, ours = reference[known], labels[known]
    if not known.any():
        assert scores.pixel_accuracy is None
        assert scores.miou is None
        return
    every = {"labels": range(5), "average": None, "zero_division": np.nan}
    f1 = metrics.f1_score(truth, ours, **every)
    for name, expected in (
        ("iou", f1 / (2 - f1)),
        ("dice", f1),
        ("precision", metrics.precision_score(truth, ours, **every)),
        ("recall", metrics.recall_score(truth, ours, **every)),
    ):
        np.testing.assert_allclose([number(getattr(each, name)) for each in scores.classes], expected)
    seen = ~np.isnan(f1)
    assert scores.seen == seen.sum()
    assert number(scores.miou) == pytest.approx(np.mean((f1 / (2 - f1))[seen]) if seen.any() else np.nan, nan_ok=True)
    assert number(scores.mdice) == pytest.approx(np.mean(f1[seen]) if seen.any() else np.nan, nan_ok=True)
    assert scores.pixel_accuracy == pytest.approx(metrics.accuracy_score(truth, ours))
    assert scores.coverage == pytest.approx(np.mean(ours != 5))
    held = np.isin(np.arange(5), truth)
    recalls = [np.mean(ours[truth == c] == c) for c in np.unique(truth)]
    assert scores.mean_class_accuracy == pytest.approx(np.mean(recalls))
    jaccard = np.where(held, np.nan_to_num(f1 / (2 - f1)), 0)
    assert scores.miou_classes_in_reference == pytest.approx(jaccard[held].mean())
    assert scores.frequency_weighted_iou == pytest.approx(jaccard @ np.bincount(truth, minlength=6)[:5] / len(truth))


def images() -> Iterator[tuple[Array, Array]]:
    """Six images of classes 0..4: nobody has class 3, the labels alone have class 4."""
    rng = np.random.default_rng(11)
    for n in range(6):
        height, width = 24 + 3 * n, 31 + 2 * n
        truth = (np.add.outer(np.arange(height) // 8, np.arange(width) // 9) % 3).astype(np.uint8)
        labels = truth.copy()
        wrong = rng.random((height, width)) < 0.12
        labels[wrong] = rng.integers(0, 3, wrong.sum())
        if n in (1, 4):
            labels[:5, :7] = 4
        truth[3:9, 4:13] = 5
        labels[4:7, 5:8] = 4
        if n == 2:
            labels[10:14] = 5
        if n == 5:
            truth[:] = 5
        yield truth, labels


def test_absent_classes_are_left_out_and_labels_alone_score_zero() -> None:
    scores = Scores.of(joined([flow(truth, labels, 5) for truth, labels in images()]), 5)
    assert scores.classes[3].iou is None
    assert scores.classes[4] == (0, 0, scores.classes[4].labels)
    assert scores.classes[4].iou == 0
    assert scores.classes[4].recall is None
    assert scores.seen == 4
    for name, right in DATA_SET.items():
        assert getattr(scores, name) == pytest.approx(right, abs=1e-15)


def test_means_over_images_are_of_those_that_have_the_class() -> None:
    counts = np.stack([of_classes(flow(truth, labels, 5), 5) for truth, labels in images()])
    total, of = image_sums(shares(counts)).T
    assert of.tolist() == [5, 5, 5, 0, 2, 5]
    found = [ratio(int(a), int(b) * SHARE) for a, b in zip(total, of, strict=True)]
    assert found[3] is None
    assert [number(each) for each in found] == pytest.approx(IMAGE_MEANS, abs=2e-9, nan_ok=True)
    assert own_shares(shares(counts))[5] == -1


@pytest.mark.parametrize("cut", range(7))
def test_any_split_of_images_gives_the_same_sums(cut: int) -> None:
    found = shares(np.stack([of_classes(flow(truth, labels, 5), 5) for truth, labels in images()]))
    assert np.array_equal(image_sums(found[:cut]) + image_sums(found[cut:]), image_sums(found))


def test_shares_are_exact_and_rounded_down() -> None:
    rng = np.random.default_rng(5)
    reference, labels = rng.integers(1, 2**33, (2, 50))
    both = (np.minimum(reference, labels) * rng.random(50)).astype(np.int64)
    found = shares(np.stack([both, reference, labels], axis=-1))
    assert found.tolist() == [
        int(b) * SHARE // int(r + n - b) for b, r, n in zip(both, reference, labels, strict=True)
    ]


def test_nothing_has_no_mean() -> None:
    assert mean([None, None]) is None
    assert mean([None, 0.5, 1.0]) == 0.75
    assert Scores.of(joined([]), 3).miou is None
    assert Scores.of(joined([]), 3).frequency_weighted_iou is None


@given(seed=st.integers(0, 2**32), classes=st.integers(2, 6))
@settings(max_examples=30, deadline=None)
def test_ious_of_many_pairs_are_those_of_one_long_pair(seed: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    pairs = [rng.integers(0, classes, (2, 1, width)).astype(np.uint8) for width in (9, 1, 30)]
    pairs[2][0, :, :4], pairs[2][1, :, 4:8] = 255, 255
    reference, labels = np.concatenate(pairs, axis=2)[:, 0]
    known = reference < 255
    occurring = np.setdiff1d(np.union1d(reference[known], labels[known]), [255])
    expected = np.full(classes, np.nan)
    expected[occurring] = metrics.jaccard_score(reference[known], labels[known], labels=occurring, average=None)
    np.testing.assert_allclose(ious(((one, other) for one, other in pairs), classes), expected)
