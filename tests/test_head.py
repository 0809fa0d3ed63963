from math import exp

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.elements import Array
from transforms.errors import RunError
from transforms.head import canonical, confidence_sum, flat_grid, make_head, to_probabilities, winning_probability

N, H, W, C = 2, 3, 5, 4
LOGITS = np.random.default_rng(0).normal(0, 3, (N, H, W, C)).astype(np.float32)
LAST = make_head("logits", "channels_last", C)


@pytest.mark.parametrize(
    ("layout", "output", "grid"),
    [
        ("channels_last", LOGITS, None),
        ("channels_first", np.moveaxis(LOGITS, 3, 1), None),
        ("flat", LOGITS.reshape(N, H * W, C), (H, W)),
    ],
)
def test_every_layout_becomes_channels_last(layout: str, output: Array, grid: tuple[int, int] | None) -> None:
    head = make_head("logits", layout, C, grid=grid)
    np.testing.assert_array_equal(canonical(output, head), LOGITS)


@pytest.mark.parametrize("kind", ["sigmoid", "sigmoid_logits", "ids"])
@pytest.mark.parametrize(
    ("layout", "shape"),
    [
        ("channels_last", (N, H, W)),
        ("channels_last", (N, H, W, 1)),
        ("channels_first", (N, 1, H, W)),
        ("flat", (N, H * W)),
        ("flat", (N, H * W, 1)),
    ],
)
def test_one_channel_may_lack_its_axis(kind: str, layout: str, shape: tuple[int, ...]) -> None:
    plane = LOGITS[..., 0]
    head = make_head(kind, layout, 1, grid=(H, W) if layout == "flat" else None)
    found = canonical(plane.reshape(shape), head)
    np.testing.assert_array_equal(found, plane if kind == "ids" else plane[..., None])


def test_tensorflow_gives_what_numpy_gives() -> None:
    import tensorflow as tf

    heads = [LAST, make_head("logits", "channels_first", H), make_head("multilabel", "flat", C * W, grid=(1, H))]
    for head in heads:
        output = LOGITS.reshape(N, H, W * C) if head.layout == "flat" else LOGITS
        found = canonical(tf.constant(output), head, xp=tf).numpy()
        np.testing.assert_array_equal(found, canonical(output, head))


def test_softmax_against_a_plain_loop() -> None:
    found = to_probabilities(LOGITS, LAST)
    for place in np.ndindex(N, H, W):
        powers = [exp(float(logit)) for logit in LOGITS[place]]
        expected = np.array(powers) / sum(powers)
        np.testing.assert_allclose(found[place], expected, rtol=1e-5)


@pytest.mark.parametrize("kind", ["sigmoid_logits", "multilabel_logits"])
def test_sigmoid_is_applied_where_it_is_missing(kind: str) -> None:
    values = LOGITS[..., :1] if kind == "sigmoid_logits" else LOGITS
    head = make_head(kind, "channels_last", values.shape[-1])
    expected = np.array([1 / (1 + exp(-float(x))) for x in values.ravel()])
    np.testing.assert_allclose(to_probabilities(values, head).ravel(), expected, rtol=1e-5)
    present = make_head(kind.removesuffix("_logits"), "channels_last", values.shape[-1])
    np.testing.assert_array_equal(to_probabilities(values, present), values)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(width=32), min_size=C, max_size=C))
def test_any_logits_give_probabilities_or_nan(logits: list[float]) -> None:
    found = to_probabilities(np.array([[[logits]]], np.float32), LAST)
    if np.isnan(logits).any():
        assert np.isnan(found).any()
    else:
        assert found.min() >= 0
        np.testing.assert_allclose(found.sum(), 1, rtol=1e-5)
        assert found.ravel()[np.argmax(logits)] == found.max()


def test_infinities_win_and_share() -> None:
    inf = np.inf
    found = to_probabilities(np.array([[[[inf, 0, 0], [inf, inf, 0], [-inf, -inf, -inf]]]]), LAST)
    np.testing.assert_allclose(found[0, 0], [[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [1 / 3, 1 / 3, 1 / 3]], rtol=1e-6)
    ends = to_probabilities(np.array([-inf, inf, 1e4, -1e4]), make_head("sigmoid_logits", "channels_last", 1))
    np.testing.assert_array_equal(ends, [0, 1, 1, 0])


def test_winning_probability_of_each_kind() -> None:
    pair = np.array([[[[0.2, 0.7]]]])
    assert winning_probability(pair, make_head("probabilities", "channels_last", 2)) == pytest.approx(0.7)
    assert winning_probability(pair, make_head("multilabel", "channels_last", 2)) == pytest.approx(0.75)
    assert winning_probability(pair[..., :1], make_head("sigmoid", "channels_last", 1)) == pytest.approx(0.8)


def test_confidence_sum_rounds_each_pixel_and_skips_nan() -> None:
    winning = np.array([[[0.5, 1.0]], [[np.nan, 1 / 65535 * 2.6]]])
    np.testing.assert_array_equal(confidence_sum(winning), [32768 + 65535, 3])


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 8))
def test_flat_grid_finds_a_whole_factor(h: int, w: int, factor: int) -> None:
    assert flat_grid(h * w, h * factor, w * factor) == (h, w)


def test_flat_grid_refuses_what_does_not_divide() -> None:
    assert flat_grid(15, 8, 8) is None


@pytest.mark.parametrize(
    ("kind", "layout", "channels", "message"),
    [
        ("softmax", "channels_last", 3, "--head softmax is unknown"),
        ("logits", "nchw", 3, "--layout nchw is unknown"),
        ("sigmoid", "channels_last", 3, "the model's output has 3"),
        ("logits", "channels_last", 1, "use sigmoid"),
    ],
)
def test_a_head_that_cannot_be_is_refused(kind: str, layout: str, channels: int, message: str) -> None:
    with pytest.raises(RunError, match=message):
        make_head(kind, layout, channels)


def test_classes_follow_from_the_kind() -> None:
    assert LAST.classes == C
    assert make_head("sigmoid", "channels_last", 1).classes == 2
    assert make_head("ids", "channels_last", 1).classes is None
    assert make_head("multilabel", "channels_last", C).is_multilabel
