"""A model that sees nothing must not look good."""

from dataclasses import replace

import pytest

from maskbeam.transforms.classes.class_table import ClassInfo, ClassTable
from maskbeam.transforms.measures.confidence import CONFIDENCE, Confidence
from maskbeam.transforms.measures.counted import Sums
from maskbeam.transforms.measures.pixels import PIXELS
from maskbeam.transforms.measures.warnings import find_warnings
from tests.support.report_inputs import BOTH, TABLE, statistics_of, sums_with

ALIVE = statistics_of([[7, 3, 0]], confidence_sum=65535 * 9, confidence_pixels=10)


def with_confidence(mean: float, others: Sums = ALIVE) -> Sums:
    return sums_with({CONFIDENCE: Confidence(round(mean * 65535 * 1000), 1000)}, others)


def test_a_live_model_gives_no_warning() -> None:
    assert find_warnings(TABLE, ALIVE) == []


def test_no_images_give_no_warning() -> None:
    assert find_warnings(TABLE, Sums.zero()) == []


@pytest.mark.parametrize(("others", "warns"), [(1, True), (2, True), (4, False)])
def test_one_class_over_99_percent(others: int, warns: bool) -> None:
    warnings = find_warnings(TABLE, statistics_of([[7] * (300 - others) + [3] + [0] * (others - 1)]))
    assert any("class 'field' holds 99." in w for w in warnings) is warns


def test_ignored_pixels_do_not_hide_it() -> None:
    assert "class 'field' holds 100%" in find_warnings(TABLE, statistics_of([[7] + [255] * 99]))[0]


@pytest.mark.parametrize(("labelled", "warns"), [(0, True), (1, True), (2, True), (3, False)])
def test_an_output_in_which_next_to_nothing_is_labelled(labelled: int, warns: bool) -> None:
    labels = [([7, 3, 0] * 9)[:labelled] + [255] * (300 - labelled)]
    hidden = [w for w in find_warnings(TABLE, statistics_of(labels)) if "next to nothing was labelled" in w]
    assert bool(hidden) is warns
    assert all(f"{int((300 - labelled) / 3 * 100) / 100:g}% of all pixels" in w and "--min_conf" in w for w in hidden)


def test_causes_are_named_once_and_last() -> None:
    warnings = find_warnings(TABLE, statistics_of([[7] * 300], confidence_sum=65535 * 110, confidence_pixels=300))
    assert [w.partition(" ")[0] for w in warnings] == ["class", "classes", "mean", "if"]
    assert [("--normalize" in w, "maskbeam inspect" in w) for w in warnings] == [(False, False)] * 3 + [(True, True)]


def test_a_class_never_predicted_is_named() -> None:
    warning, causes = find_warnings(TABLE, BOTH)
    assert warning == "class never predicted: 'never'"
    assert "--normalize" in causes


def test_many_classes_never_predicted_are_counted() -> None:
    table = ClassTable(tuple(ClassInfo(i, i, f"c{i}", (i, 0, 0)) for i in range(10)), "table")
    warning = find_warnings(table, statistics_of([[3, 7, 0]]))[0]
    assert warning == "classes never predicted: 'c1', 'c2', 'c4', 'c5', 'c6' and 2 more"


@pytest.mark.parametrize(
    ("mean", "choices", "warns"),
    [
        (1 / 3, None, True),
        (0.39, None, True),
        (0.41, None, False),
        (0.54, 2, True),
        (0.56, 2, False),
        (0.2, 1, False),
    ],
)
def test_confidence_near_chance(mean: float, choices: int | None, warns: bool) -> None:
    warnings = find_warnings(TABLE, with_confidence(mean), choices=choices)
    assert any("mean confidence" in w for w in warnings) is warns


def test_sigmoids_decide_between_two() -> None:
    independent = sums_with({PIXELS: replace(ALIVE[PIXELS], independent=True)}, ALIVE)
    warnings = find_warnings(TABLE, with_confidence(0.5, independent))
    assert "mean confidence is 0.500, near the 1/2" in warnings[0]
