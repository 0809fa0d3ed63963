"""Queues for people: the first by rank, few of one group, whatever the order and the split of the work."""

import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_sample_weight

from maskbeam.transforms.measures import review_queue
from maskbeam.transforms.measures.balance import inverse_frequency_weights
from maskbeam.transforms.measures.review_queue import Candidate, ClassQueues, ReviewQueue, group_of, rarity


def candidate(image_id: str, rank: float) -> Candidate:
    return Candidate(rank, image_id, f"/in/{image_id}", rank, "")


CANDIDATES = st.lists(
    st.builds(lambda folder, number, rank: (f"{folder}/{number}", rank), *[st.integers(0, 5)] * 3),
    unique_by=lambda each: each[0],
)


@given(CANDIDATES, st.integers(1, 8), st.sampled_from([None, 1, 2]), st.randoms(use_true_random=False))
def test_any_order_gives_what_a_plain_walk_chooses(
    held: list[tuple[str, float]], top: int, per_group: int | None, draw: random.Random
) -> None:
    expected: list[str] = []
    taken: Counter[str] = Counter()
    for each in sorted((candidate(*each) for each in held), key=review_queue._place):
        folder = each.image_id.split("/")[0]
        if len(expected) < top and (per_group is None or taken[folder] < per_group):
            expected.append(each.image_id)
            taken[folder] += 1
    draw.shuffle(held)
    queue = ReviewQueue(top, per_group)
    queue.add(candidate(*each) for each in held)
    assert [each.image_id for each in queue] == expected


def test_what_cannot_be_chosen_is_dropped_and_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(5)
    held = [candidate(f"{folder}/{i}", rank) for i, (folder, rank) in enumerate(generator.integers(0, 40, (5000, 2)))]
    whole = ReviewQueue(30, 2)
    monkeypatch.setattr(review_queue, "_LEAST_GATHERED", 10**9)
    monkeypatch.setattr(review_queue, "_GATHERED", 10**9)
    whole.add(held)
    monkeypatch.setattr(review_queue, "_LEAST_GATHERED", 1)
    monkeypatch.setattr(review_queue, "_GATHERED", 2)
    dropping = ReviewQueue(30, 2)
    dropping.add(held)
    assert len(dropping._held) < 60
    assert list(dropping) == list(whole)
    assert len(list(whole)) == 30


def test_ties_are_not_broken_by_name() -> None:
    queue = ReviewQueue(20)
    queue.add(candidate(f"{name:04}", 1) for name in range(1000))
    chosen = [each.image_id for each in queue]
    assert chosen != sorted(chosen)
    assert max(chosen) > "0500"


def test_each_class_has_its_queue_and_no_image_is_in_two() -> None:
    queues = ClassQueues(2)
    for image_id, rank, classes in (("a", 1, "xy"), ("b", 2, "xy"), ("c", 3, "y"), ("d", 4, "y")):
        queues.add(candidate(image_id, rank), classes)
    chosen = [(name, each.image_id) for name, each in queues.chosen("xy")]
    assert chosen == [("x", "a"), ("x", "b")]
    chosen = [(name, each.image_id) for name, each in queues.chosen("yx")]
    assert chosen == [("y", "a"), ("y", "b")]


@pytest.mark.parametrize(
    ("image_id", "parts", "group"),
    [("a/b/c", 0, "a/b"), ("c", 0, ""), ("a/b/c", 1, "a"), ("a/b/c", 2, "a/b"), ("c", 2, "c")],
)
def test_groups(image_id: str, parts: int, group: str) -> None:
    assert group_of(image_id, parts) == group


def test_rarity_is_the_mean_of_balanced_weights_over_pixels() -> None:
    images = [[90, 10, 0], [50, 49, 1], [100, 0, 0]]
    pixels = np.sum(images, axis=0)
    weights = [weight or 0.0 for weight in inverse_frequency_weights(list(map(int, pixels)))]
    labels = np.concatenate([np.repeat(range(3), counts) for counts in images])
    expected = compute_sample_weight("balanced", labels).reshape(3, 100).mean(axis=1)
    np.testing.assert_allclose([rarity(counts, weights) for counts in images], expected)
    assert rarity([0, 0, 0], weights) == 0
