"""Flags that change nothing: refused where labels were expected to change, else said."""

from dataclasses import replace
from typing import Any

import pytest

from maskbeam.pipeline.job.without_effect import check_effects, without_effect
from maskbeam.pipeline.options import LabelOptions, ModelOptions, ReadOptions, RunOptions
from maskbeam.transforms.argmax import Labeling
from maskbeam.transforms.errors import RunError
from maskbeam.transforms.head import KINDS
from maskbeam.transforms.resampling.prepare import InputSpec

RGB = InputSpec(32, 32, 3, "stretch")


def labeling(kind: str, **settings: Any) -> Labeling:
    return Labeling(kind, (0, 1), **settings)


@pytest.mark.parametrize("kind", KINDS)
def test_a_threshold_is_refused_where_nothing_is_compared_with_it(kind: str) -> None:
    options = RunOptions(label=LabelOptions(threshold=0.9))
    for multilabel in ("planes", "argmax"):
        made = labeling(kind, threshold=0.9, multilabel=multilabel)
        if made.is_thresholded:
            check_effects(options, RGB, made)
        else:
            with pytest.raises(RunError, match=r"--threshold 0\.9 is for sigmoids, .* leave it out"):
                check_effects(options, RGB, made)
    check_effects(RunOptions(), RGB, labeling(kind))


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_an_order_of_colours_is_refused_without_three(channels: int) -> None:
    options = RunOptions(model=ModelOptions(channel_order="bgr"))
    check_effects(options, RGB, labeling("logits"))
    with pytest.raises(RunError, match=rf"--channel_order bgr .* takes {channels} channels"):
        check_effects(options, replace(RGB, channels=channels), labeling("logits"))


def test_what_is_pointless_is_said() -> None:
    native = replace(RGB, height=None, width=None, resize="native")
    assert without_effect(RunOptions(), native, labeling("logits")) == []
    options = RunOptions(
        read=ReadOptions(seed=3),
        model=ModelOptions(resize_filter="pillow"),
        label=LabelOptions(multilabel="argmax", confidence="margin"),
    )
    told = without_effect(options, native, labeling("logits"))
    assert [text.partition(":")[0] for text in told] == ["--multilabel", "--confidence", "--resize_filter", "--seed"]


def test_what_has_an_effect_is_not() -> None:
    options = RunOptions(
        read=ReadOptions(seed=3, limit=2),
        model=ModelOptions(resize_filter="pillow"),
        label=LabelOptions(multilabel="argmax", confidence="margin"),
    )
    assert without_effect(options, RGB, labeling("multilabel", multilabel="argmax", min_confidence=0.2)) == []
