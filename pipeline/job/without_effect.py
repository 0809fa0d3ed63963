"""Flags that a model makes pointless: refused where a person would expect other labels, else named in the plan."""

from maskbeam.pipeline.options import LabelOptions, ModelOptions, ReadOptions, RunOptions
from maskbeam.transforms.argmax import Labeling
from maskbeam.transforms.errors import RunError
from maskbeam.transforms.resampling.prepare import InputSpec

_LABEL, _MODEL, _READ = LabelOptions(), ModelOptions(), ReadOptions()


def check_effects(options: RunOptions, spec: InputSpec, labeling: Labeling) -> None:
    """Refuses flags that would decide about labels, and cannot with this model.

    Raises:
        RunError: Names the flag, why it has no effect, and what has.
    """
    if options.label.threshold != _LABEL.threshold and not labeling.is_thresholded:
        instead = "" if labeling.kind == "ids" else ", or give unsure pixels the ignore label with --min_confidence"
        raise RunError(
            f"--threshold {options.label.threshold} is for sigmoids, but the model's head is {labeling.kind}, which "
            f"compares classes with each other: leave it out{instead}"
        )
    if options.model.channel_order != _MODEL.channel_order and spec.channels != 3:
        raise RunError(
            f"--channel_order {options.model.channel_order} is for three colours, but the model takes "
            f"{spec.channels} channels: leave it out"
        )


def without_effect(options: RunOptions, spec: InputSpec, labeling: Labeling) -> list[str]:
    """The flags that change nothing in this run though they were set, a phrase each."""
    label, model = options.label, options.model
    checks = {
        "--multilabel: the model's classes exclude each other": (
            label.multilabel != _LABEL.multilabel and not labeling.kind.startswith("multilabel")
        ),
        "--confidence: neither --products confidence nor --min_confidence is there": (
            label.confidence != _LABEL.confidence and not labeling.needs_confidence
        ),
        "--resize_filter: images are not resized, because the model's size is free": (
            model.resize_filter != _MODEL.resize_filter and spec.resize == "native"
        ),
        "--seed: there is no --limit": options.read.seed != _READ.seed and options.read.limit is None,
    }
    return [text for text, pointless in checks.items() if pointless]
