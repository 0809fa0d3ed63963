from math import exp, inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskbeam.transforms.elements import Array
from maskbeam.transforms.errors import RunError
from maskbeam.transforms.head import canonical, cut, flat_grid, make_head

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


def test_a_threshold_is_a_probability_whatever_the_head_emits() -> None:
    assert cut(0.3, "sigmoid") == cut(0.3, "multilabel") == 0.3
    for threshold in (0.1, 0.5, 0.93):
        assert 1 / (1 + exp(-cut(threshold, "sigmoid_logits"))) == pytest.approx(threshold)
    assert cut(0, "multilabel_logits") == -inf
    assert cut(1, "sigmoid_logits") == inf
