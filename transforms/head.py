"""The meaning of a model's output: where its classes are, and whether they are logits, probabilities or ids."""

from dataclasses import dataclass
from math import inf, log
from types import ModuleType
from typing import Any

import numpy as np

from maskbeam.transforms.errors import RunError

EXCLUSIVE = ("logits", "probabilities")
BINARY = ("sigmoid", "sigmoid_logits")
MULTILABEL = ("multilabel", "multilabel_logits")
KINDS = (*EXCLUSIVE, "ids", *BINARY, *MULTILABEL)
LAYOUTS = ("channels_last", "channels_first", "flat", "flat_first")


@dataclass(frozen=True)
class Head:
    """The way to read a model's output.

    Attributes:
        kind: `logits` or `probabilities` of classes that exclude each other; `ids`, the argmax already taken;
            `sigmoid` or `sigmoid_logits`, one channel of the second of two classes; `multilabel` or
            `multilabel_logits`, classes independent of each other.
        layout: `channels_last` `[N, h, w, C]`, `channels_first` `[N, C, h, w]`, `flat` `[N, h*w, C]` or `flat_first`
            `[N, C, h*w]`; where C is 1 the axis may be missing.
        channels: C of the output: 1 for ids and the sigmoid kinds.
        classes: Number of classes: 2 for the sigmoid kinds; None for ids, of which the output shows only some.
        grid: (h, w) of a flat output; None otherwise, and where the model's size is free.
        output_name: Which of several outputs, or None.
    """

    kind: str
    layout: str = "channels_last"
    channels: int = 1
    classes: int | None = None
    grid: tuple[int, int] | None = None
    output_name: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise RunError(f"--head {self.kind} is unknown; choose one of {', '.join(KINDS)}.")
        if self.layout not in LAYOUTS:
            raise RunError(f"--layout {self.layout} is unknown; choose one of {', '.join(LAYOUTS)}.")
        if self.kind in ("ids", *BINARY) and self.channels != 1:
            raise RunError(f"--head {self.kind} is for one channel, but the model's output has {self.channels}.")
        if self.kind in EXCLUSIVE and self.channels < 2:
            raise RunError(f"--head {self.kind} needs two channels or more; use sigmoid or sigmoid_logits for one.")

    @property
    def is_flat(self) -> bool:
        """True if rows and columns share an axis."""
        return self.layout in ("flat", "flat_first")

    @property
    def is_multilabel(self) -> bool:
        """True if a pixel may have several classes, so that there is no label map."""
        return self.kind in MULTILABEL


def make_head(kind: str, layout: str, channels: int, **other: Any) -> Head:
    """A `Head` whose number of classes follows from its kind and C."""
    classes = None if kind == "ids" else 2 if kind in BINARY else channels
    return Head(kind, layout, channels, classes, **other)


def canonical(output: Any, head: Head, *, xp: ModuleType = np) -> Any:
    """Brings a model's output to channels last.

    Args:
        output: What the model returned, in `head`'s layout.
        head: How to read it.
        xp: The array module that `output` belongs to: anything with numpy's `reshape` and `transpose`, such as
            `tensorflow`.

    Returns:
        `[N, h, w, C]`, dtype unchanged; for ids `[N, h, w]`.
    """
    if head.layout == "flat":
        output = xp.reshape(output, (-1, *_grid(head), head.channels))
    elif head.layout == "flat_first":
        output = xp.transpose(xp.reshape(output, (-1, head.channels, *_grid(head))), (0, 2, 3, 1))
    elif len(output.shape) == 3:
        output = output[..., None]
    elif head.layout == "channels_first":
        output = xp.transpose(output, (0, 2, 3, 1))
    return output[..., 0] if head.kind == "ids" else output


def _grid(head: Head) -> tuple[int, int]:
    if head.grid is None:
        raise RunError("A flat output needs its grid: the model's size is free and was not set from the input.")
    return head.grid


def cut(threshold: float, kind: str) -> float:
    """A threshold of 0..1 in the domain of what the head emits: a logit for the kinds without a sigmoid."""
    if not kind.endswith("_logits"):
        return threshold
    return -inf if threshold == 0 else inf if threshold == 1 else log(threshold / (1 - threshold))


def flat_grid(length: int, height: int, width: int) -> tuple[int, int] | None:
    """The grid (h, w) with h * w = `length` that an input of `height` x `width` shrinks to by a whole factor.

    None when there is none.
    """
    for factor in range(1, min(height, width) + 1):
        fits = height % factor == 0 and width % factor == 0
        if fits and (height // factor) * (width // factor) == length:
            return height // factor, width // factor
    return None
