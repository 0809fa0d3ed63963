import pickle
from functools import reduce
from operator import add

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskbeam.transforms.elements import Array
from maskbeam.transforms.measures.confidence import CONFIDENCE, Confidence
from maskbeam.transforms.measures.counted import Counted, Sums, count
from maskbeam.transforms.measures.measure import Measure, least
from maskbeam.transforms.measures.pixels import PIXELS
from maskbeam.transforms.measures.registry import MEASURES
from maskbeam.transforms.measures.two_readings import TWO_READINGS
from tests.support.scored import labelled
from tests.unit.transforms.measures.test_pixels import IDS, IGNORE

FACTS = {"transparency": "dropped", "orientation": "6"}
NOTHING = Counted(tuple(measure.zero for measure in MEASURES))


def cut(labels: Array, random: np.random.Generator, depth: int) -> list[Array]:
    """Rectangles of the last two axes that cover an array, cut at random places."""
    axis = int(random.integers(2)) - 2
    if not depth or labels.shape[axis] < 2:
        return [labels]
    halves = np.split(labels, [int(random.integers(1, labels.shape[axis]))], axis)
    return [part for half in halves for part in cut(half, random, depth - 1)]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("planes", [False, True])
def test_an_image_counted_in_parts_is_counted_once(seed: int, planes: bool) -> None:
    random = np.random.default_rng(seed)
    size = tuple(random.integers(1, 40, 2))
    labels = random.random((3, *size)) < 0.3 if planes else random.choice([*IDS, IGNORE], size).astype(np.uint8)
    parts = cut(labels, random, 4)
    sums = [int(n) for n in random.integers(0, 1000, len(parts))]

    def counted(pixels: Array, confidence: int) -> Counted:
        known = {"confidence_sum": confidence, "confidence_pixels": 1, "facts": FACTS, "nonfinite": confidence}
        return count(labelled(pixels, **known), IDS)

    together = reduce(add, map(counted, parts, sums), NOTHING)
    whole = counted(labels, sum(sums))
    assert together[CONFIDENCE] == Confidence(sum(sums), len(parts))
    expected = {**whole.to_json(), "confidence_pixels": len(parts)}
    assert together.to_json() == expected
    assert Sums.over([("a", together)])[PIXELS] == Sums.over([("a", whole)])[PIXELS]
    assert Sums.over([("a", together)])[TWO_READINGS] == (1, 1)


@settings(max_examples=50, deadline=None)
@given(
    st.dictionaries(st.sampled_from(IDS), st.integers(1, 99)), st.lists(st.integers(0, 3), min_size=13, max_size=13)
)
def test_counts_survive_as_plain_values_without_zeros_at_an_end(by_class: dict[int, int], n: list[int]) -> None:
    area = (by_class, 1, "planar", "EPSG:32633") if n[0] > 1 else ()
    values = (n[0:2], (by_class, n[2], n[3], n[4] > 2), n[5:6], n[6:8], n[8:13], area)
    counted = Counted(tuple(measure.kind(*value) for measure, value in zip(MEASURES, values, strict=True)))
    plain = counted.to_plain()
    assert Counted.from_plain(pickle.loads(pickle.dumps(plain))) == counted
    assert not plain or plain[0]
    assert NOTHING.to_plain() == ()


class Later(Measure[Confidence, Confidence]):
    name = "later"
    kind = Confidence


def test_what_was_not_counted_stays_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = count(labelled(np.array([[3, 7]], np.uint8)), IDS)
    held, before = counted.to_json(), counted
    later = Later()
    monkeypatch.setattr("maskbeam.transforms.measures.counted.MEASURES", [*MEASURES, later])
    unknown = Counted.from_json(held)
    assert unknown.values == (*before.values, None)
    assert Counted.from_plain(unknown.to_plain()) == unknown
    assert unknown.to_json() == held
    with pytest.raises(KeyError, match="later"):
        _ = unknown[later]
    known = Counted((*before.values, Confidence(3, 4)))
    assert (known + known)[later] == (6, 8)
    assert (known + unknown).values[-1] is None
    assert Counted.from_json(known.to_json()) == known
    assert Counted.from_plain(known.to_plain()) == known
    sums = Sums.over([("a", unknown), ("b", known)])
    assert (sums[later], sums[PIXELS].images) == ((3, 4), 2)
    assert Sums.over([("a", unknown)]).measures == MEASURES
    for broken in ({"confidence_sum": 1}, {"confidence_sum": -1, "confidence_pixels": 0}, 3):
        with pytest.raises(ValueError, match=r"no counts?"):
            Counted.from_json({**held, "later": broken})


@given(st.lists(st.tuples(st.integers(0, 5), st.text(max_size=2)), max_size=30), st.integers(0, 30))
def test_the_least_of_any_split_are_those_of_all(ranked: list[tuple[int, str]], at: int) -> None:
    parts = [least(part, 4) for part in (ranked[:at], ranked[at:])]
    assert least([*parts[0], *parts[1]], 4) == tuple(sorted(ranked)[:4])


def test_a_measure_that_was_sent_elsewhere_is_the_same() -> None:
    counted = count(labelled(np.array([[3, 7]], np.uint8)), IDS)
    assert counted[pickle.loads(pickle.dumps(PIXELS))] == counted[PIXELS]
    assert len({measure.name for measure in MEASURES}) == len(set(MEASURES)) == len(MEASURES)
