"""What a model's output means: where its classes are, and whether they are logits, probabilities or ids."""

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from transforms.elements import Array
from transforms.errors import RunError

EXCLUSIVE = ("logits", "probabilities")
BINARY = ("sigmoid", "sigmoid_logits")
MULTILABEL = ("multilabel", "multilabel_logits")
KINDS = (*EXCLUSIVE, "ids", *BINARY, *MULTILABEL)
LAYOUTS = ("channels_last", "channels_first", "flat")


@dataclass(frozen=True)
class Head:
    """How to read a model's output.

    Attributes:
        kind: `logits` or `probabilities` of classes that exclude each other; `ids`, the argmax already taken;
            `sigmoid` or `sigmoid_logits`, one channel of the second of two classes; `multilabel` or
            `multilabel_logits`, classes independent of each other.
        layout: `channels_last` `[N, h, w, C]`, `channels_first` `[N, C, h, w]` or `flat` `[N, h*w, C]`; where C is 1
            the axis may be missing.
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
    def is_multilabel(self) -> bool:
        """Whether a pixel may have several classes, so that there is no label map."""
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
    elif len(output.shape) == 3:
        output = output[..., None]
    elif head.layout == "channels_first":
        output = xp.transpose(output, (0, 2, 3, 1))
    return output[..., 0] if head.kind == "ids" else output


def _grid(head: Head) -> tuple[int, int]:
    if head.grid is None:
        raise RunError("A flat output needs its grid: the model's size is free and was not set from the input.")
    return head.grid


def flat_grid(length: int, height: int, width: int) -> tuple[int, int] | None:
    """The grid (h, w) with h * w = `length` that an input of `height` x `width` shrinks to by a whole factor.

    None when there is none.
    """
    for factor in range(1, min(height, width) + 1):
        fits = height % factor == 0 and width % factor == 0
        if fits and (height // factor) * (width // factor) == length:
            return height // factor, width // factor
    return None


def to_probabilities(values: Array, head: Head) -> Array:
    """Probabilities of a canonical output; numpy, and the oracle for what engines compute in their graph.

    Infinities count as the largest finite float, so that `inf` wins and two of them share; NaN stays NaN.

    Args:
        values: `[..., C]` as `canonical` returns it; not for ids, which have no probabilities.
        head: How to read it.

    Returns:
        Float32 `[..., C]`: softmax for logits, the logistic function where the sigmoid is missing, else the values.
    """
    if head.kind == "ids":
        raise ValueError("class ids have no probabilities")
    values = values.astype(np.float32)
    if head.kind == "logits":
        return _softmax(values)
    if head.kind in ("sigmoid_logits", "multilabel_logits"):
        return _sigmoid(values)
    return values


def _softmax(logits: Array) -> Array:
    limit = np.finfo(np.float32).max
    logits = np.clip(logits, -limit, limit)
    with np.errstate(over="ignore"):
        exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True))


def _sigmoid(logits: Array) -> Array:
    # exp(-|x|) never overflows, whichever side x is on.
    small = np.exp(-np.abs(logits))
    return np.asarray(np.where(logits >= 0, 1, small) / (1 + small), np.float32)


def winning_probability(probabilities: Array, head: Head) -> Array:
    """How sure the model is of each pixel `[...]`, from probabilities `[..., C]`.

    The largest probability; of a single channel the larger of p and 1 - p; for independent classes the mean of that
    over classes, since each is a decision of its own.
    """
    if head.kind in EXCLUSIVE:
        return np.asarray(probabilities.max(axis=-1))
    return np.asarray(np.maximum(probabilities, 1 - probabilities).mean(axis=-1))


def confidence_sum(winning: Array) -> Array:
    """Int64 `[N]`: the sum of `round(p * 65535)`, halves to even, over the pixels of `[N, h, w]`; NaN counts as 0.

    Integers, so that any split of a data set sums to the same.
    """
    units = np.rint(np.clip(np.nan_to_num(winning, nan=0.0), 0, 1) * 65535)
    return np.asarray(units.astype(np.int64).sum(axis=(1, 2)))
