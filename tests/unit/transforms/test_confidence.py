import numpy as np
import pytest
import scipy.special
import scipy.stats

from maskbeam.transforms.confidence import confidence
from maskbeam.transforms.elements import Array
from tests.support.scored import scores_of

ONE_UNIT = 1 / 65535


def expected(p: Array, measure: str) -> Array:
    """From probabilities `[C, ...]` of classes that exclude each other."""
    ordered = np.sort(p, axis=0)[::-1]
    if measure == "probability":
        return np.asarray(ordered[0])
    if measure == "margin":
        return np.asarray(ordered[0] - ordered[1])
    return np.asarray(1 - scipy.stats.entropy(p, axis=0, base=len(p)))


@pytest.mark.parametrize("measure", ["probability", "entropy", "margin"])
@pytest.mark.parametrize("C", [2, 3, 21])
def test_confidence_of_softmax_classes(measure: str, C: int) -> None:
    logits = scores_of(C, C, 30, 20)
    probabilities = scipy.special.softmax(logits.astype(np.float64), axis=0)
    for kind, scores in (("logits", logits), ("probabilities", probabilities)):
        found = confidence(scores, kind=kind, measure=measure)
        assert found.dtype == np.uint16
        np.testing.assert_allclose(found * ONE_UNIT, expected(probabilities, measure), atol=2 * ONE_UNIT)


@pytest.mark.parametrize("measure", ["probability", "entropy", "margin"])
def test_a_single_channel_counts_as_two_classes_and_multilabel_channels_each_so(measure: str) -> None:
    logits = scores_of(1, 3, 30, 20)
    p = scipy.special.expit(logits.astype(np.float64))
    both = expected(np.stack([p, 1 - p]), measure)
    for kind, scores in (("multilabel_logits", logits), ("multilabel", p)):
        np.testing.assert_allclose(confidence(scores, kind=kind, measure=measure) * ONE_UNIT, both, atol=2 * ONE_UNIT)
    for kind, scores in (("sigmoid_logits", logits[:1]), ("sigmoid", p[:1])):
        np.testing.assert_allclose(
            confidence(scores, kind=kind, measure=measure) * ONE_UNIT, both[0], atol=2 * ONE_UNIT
        )


@pytest.mark.parametrize("measure", ["probability", "entropy", "margin"])
def test_the_ends_of_the_scale(measure: str) -> None:
    logits = np.array([[np.inf, 0.0], [0.0, 0.0], [-np.inf, 0.0]], np.float32)
    certain, torn = confidence(logits, kind="logits", measure=measure).tolist()
    assert certain == 65535
    assert abs(torn - {"probability": round(65535 / 3), "entropy": 0, "margin": 0}[measure]) <= 1


@pytest.mark.parametrize("kind", ["logits", "probabilities", "sigmoid", "sigmoid_logits"])
@pytest.mark.parametrize("measure", ["probability", "entropy", "margin"])
def test_nan_counts_as_none(kind: str, measure: str) -> None:
    assert confidence(np.full((1, 2, 2), np.nan), kind=kind, measure=measure).tolist() == [[0, 0], [0, 0]]


def test_the_scores_are_left_as_they_are() -> None:
    scores = scores_of(3, 2, 4, 4)
    before = scores.copy()
    confidence(scores, kind="logits")
    np.testing.assert_array_equal(scores, before)


def test_class_ids_and_unknown_measures_are_refused() -> None:
    with pytest.raises(ValueError, match="no probabilities"):
        confidence(np.zeros((1, 2, 2)), kind="ids")
    with pytest.raises(ValueError, match="'sureness'"):
        confidence(np.zeros((2, 2, 2)), kind="logits", measure="sureness")
