"""From logits to labels: the largest score wins, at the size of the image."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

from maskbeam.transforms import head
from maskbeam.transforms.confidence import CONFIDENCES, UNIT, overwriting, sigmoid
from maskbeam.transforms.elements import Array, Labels, LogitsBatch
from maskbeam.transforms.emitted import lookup
from maskbeam.transforms.errors import Code, ImageError, RunError
from maskbeam.transforms.head import BINARY, EXCLUSIVE, KINDS, MULTILABEL
from maskbeam.transforms.lookahead import LookAhead
from maskbeam.transforms.resampling import upsample
from maskbeam.transforms.resampling.upsample_labels import leads, upsample_decided

UPSAMPLES = ("logits", "labels", "none")


@dataclass(frozen=True)
class Labeling:
    """The rules by which scores become labels.

    Attributes:
        kind: A `Head`'s kind.
        channel_ids: Output id of each class channel, gaps allowed; two for the sigmoid kinds.
        upsample: `logits` brings what the head emits to the image's size and takes the argmax there, `labels` brings
            the argmax there by nearest, as does `logits` for ids; `none` leaves it at the model's size.
        threshold: Probability above which a sigmoid's second class, or a class of a multi-label model, is there.
        ignore_label: Id of pixels without a class; None for 255, and 65535 when an id is above 254.
        measure: Confidence is the `probability`, the `entropy` or the `margin`.
        min_confidence: Pixels that are less sure (0..1) get the ignore label; a multi-label class is left out.
        keep_confidence: Whether the confidence of each pixel is a product.
        multilabel: Classes that are independent of each other give `planes`; or by `argmax` a label map.
        nonfinite: What a NaN among the scores means: `fail` the image, or `ignore` its pixels.
        emits_ids: Whether a model of class ids emits output ids, and not channels, see `transforms/emitted.py`.
    """

    kind: str
    channel_ids: tuple[int, ...]
    upsample: str = "logits"
    threshold: float = 0.5
    ignore_label: int | None = None
    measure: str = "probability"
    min_confidence: float = 0.0
    keep_confidence: bool = False
    multilabel: str = "planes"
    nonfinite: str = "fail"
    emits_ids: bool = False

    def __post_init__(self) -> None:
        for name, value, choices in (
            ("--head", self.kind, KINDS),
            ("--upsample", self.upsample, UPSAMPLES),
            ("--confidence", self.measure, CONFIDENCES),
            ("--multilabel", self.multilabel, ("planes", "argmax")),
            ("--nonfinite", self.nonfinite, ("fail", "ignore")),
        ):
            if value not in choices:
                raise RunError(f"{name} {value} is unknown; choose one of {', '.join(choices)}.")
        for name, share in (("--threshold", self.threshold), ("--min_confidence", self.min_confidence)):
            if not 0 <= share <= 1:
                raise RunError(f"{name} {share} is not a probability; give a number from 0 to 1.")
        if self.kind == "ids" and self.needs_confidence:
            raise RunError("Confidence was asked for, but the model emits class ids, which have no probabilities.")
        self._check_ids()

    def _check_ids(self) -> None:
        wrong = [i for i in self.channel_ids if not 0 <= i <= UNIT]
        if wrong:
            raise RunError(f"Class id {wrong[0]} is out of range; a mask holds ids from 0 to 65535.")
        if self.ignore in self.channel_ids:
            raise RunError(f"--ignore_label {self.ignore} is the id of a class; choose one that is free.")
        if not 0 <= self.ignore <= UNIT:
            raise RunError(f"--ignore_label {self.ignore} is out of range; a mask holds values from 0 to 65535.")

    @cached_property
    def ignore(self) -> int:
        """The id of pixels without a class."""
        if self.ignore_label is not None:
            return self.ignore_label
        return 255 if max(self.channel_ids) < 255 else UNIT

    @cached_property
    def dtype(self) -> type[np.unsignedinteger[Any]]:
        """Uint8, or uint16 when an id or the ignore label is above 255."""
        return np.uint8 if max(*self.channel_ids, self.ignore) < 256 else np.uint16

    @cached_property
    def _table(self) -> Array:
        return np.array(self.channel_ids, self.dtype)

    def to_ids(self, channels: Array) -> Array:
        """Output ids of integer channels `[...]`."""
        if self.channel_ids == tuple(range(len(self.channel_ids))):
            return channels.astype(self.dtype, copy=False)
        return self._table.take(channels)

    @cached_property
    def emitted(self) -> Array:
        """Int32 `[V]`: output ids of what a model of class ids emits, -1 where that means nothing."""
        return lookup(self.channel_ids, are_ids=self.emits_ids)

    @property
    def needs_confidence(self) -> bool:
        """True if confidence is a product or decides about pixels."""
        return self.keep_confidence or self.min_confidence > 0

    @property
    def has_planes(self) -> bool:
        """True if the result is planes `[C, H, W]`."""
        return self.kind in MULTILABEL and self.multilabel == "planes"

    @property
    def is_thresholded(self) -> bool:
        """True if single scores are compared with the threshold, and not with each other."""
        return self.has_planes or self.kind in BINARY

    @property
    def cut(self) -> float:
        """The threshold in the domain of what the head emits: a logit for the kinds without a sigmoid."""
        return head.cut(self.threshold, self.kind)


def argmax(scores: Array) -> tuple[Array, Array]:
    """Finds each pixel's class: the channel with the largest score, the lowest of equal ones.

    Infinities compare as numbers do.

    Args:
        scores: Float `[..., C]`.

    Returns:
        Channels uint8 `[...]` (uint16 for more than 256), 0 where there is a NaN; and where that is, bool `[...]`.
    """
    channels, best = winners(np.moveaxis(scores, -1, 0))
    nan = np.isnan(best)
    channels[nan] = 0
    return channels, nan


def winners(planes: Array) -> tuple[Array, Array]:
    """Finds the largest of scores `[C, ...]`: its channel uint8 or uint16 `[...]`, and itself, NaN if any is."""
    best = np.array(planes[0])
    channels = np.zeros(best.shape, np.uint8 if len(planes) <= 256 else np.uint16)
    for channel in range(1, len(planes)):
        wins = (planes[channel] > best).view(np.uint8)
        # Channels come in rising order, so the larger of two channels is the later winner.
        np.maximum(channels, wins * channels.dtype.type(channel), out=channels)
        np.maximum(best, planes[channel], out=best)
    return channels, best


def label_map(batch: LogitsBatch, labeling: Labeling) -> Labels:
    """Makes the labels of one image from what the model said of it.

    Args:
        batch: A batch of one.
        labeling: How scores become labels.

    Returns:
        A label map `[H, W]`, or planes `[C, H, W]`, at the region's size; at the model's, cut to the region's box,
        when `upsample` is `none`.

    Raises:
        ImageError: `NONFINITE` when there are NaN scores and the policy says fail, or their place is not known
            because the argmax was taken in the model; `MODEL_FAILED` when a model's ids are not in the table.
    """
    image, scores = batch.images[0], batch.logits[0]
    _check_finite(int(batch.nonfinite[0]), scores, labeling)
    rows, columns = upsample.axes(image.placement, scores.shape[:2])
    labels, sureness = _labels(upsample.crop(scores, rows, columns), rows, columns, labeling)
    pixels = 0 if labeling.kind == "ids" else scores.shape[0] * scores.shape[1]
    return Labels(
        image.origin,
        image.region,
        labels,
        sureness if labeling.keep_confidence else None,
        confidence_sum=int(batch.confidence[0]) if pixels else 0,
        confidence_pixels=pixels,
        nonfinite=int(batch.nonfinite[0]),
        image=image.image,
    )


def _check_finite(nonfinite: int, scores: Array, labeling: Labeling) -> None:
    if nonfinite and (labeling.nonfinite == "fail" or scores.ndim == 2):
        h, w = scores.shape[:2]
        raise ImageError(Code.NONFINITE, f"{nonfinite} of {h * w} model pixels have a NaN among their scores")


def _labels(
    scores: Array, rows: upsample.Axis, columns: upsample.Axis, labeling: Labeling
) -> tuple[Array, Array | None]:
    """Labels and confidence at the output's size, from scores cropped to the box."""
    if scores.ndim == 2:
        return _nearest(looked_up(scores, labeling), None, rows, columns, labeling)
    if labeling.upsample == "logits":
        settled = _settled(scores, rows, columns, labeling)
        if settled is not None:
            return settled, None
        return _decided(upsample.strips(scores, rows, columns), (rows.low.size, columns.low.size), labeling)
    labels, sureness = _decided(upsample.bands(scores), scores.shape[:2], labeling)
    return _nearest(labels, sureness, rows, columns, labeling)


def _settled(scores: Array, rows: upsample.Axis, columns: upsample.Axis, labeling: Labeling) -> Array | None:
    """Labels alone, where most are known without interpolating scores; None where all are to be interpolated."""
    if labeling.needs_confidence or labeling.has_planes or (rows.same and columns.same):
        return None
    cut = np.float32(labeling.cut)
    return upsample_decided(
        scores,
        rows,
        columns,
        decide=lambda some: decide(some, labeling)[0],
        lead=(lambda some: abs(some[0] - cut)) if labeling.is_thresholded else leads,
    )


def _nearest(
    labels: Array, sureness: Array | None, rows: upsample.Axis, columns: upsample.Axis, labeling: Labeling
) -> tuple[Array, Array | None]:
    if labeling.upsample == "none":
        return labels, sureness
    restored = upsample.nearest(labels, rows, columns)
    return restored, None if sureness is None else upsample.nearest(sureness, rows, columns)


def looked_up(channels: Array, labeling: Labeling) -> Array:
    """Labels `[...]` of what came out of a model that ends in an argmax: channels, or what it emits as class ids.

    Raises:
        ImageError: `MODEL_FAILED`: it emitted a class that the table does not have.
    """
    if labeling.has_planes:
        raise ValueError("classes that are independent of each other need scores, not an argmax")
    if labeling.kind != "ids":
        return labeling.to_ids(channels)
    lowest, highest = int(channels.min()), int(channels.max())
    if lowest >= 0 and highest < len(labeling.channel_ids) and not labeling.emits_ids:
        return labeling.to_ids(channels)
    ids = labeling.emitted.take(channels, mode="clip")
    if lowest < 0 or highest >= len(labeling.emitted) or ids.min() < 0:
        wrong = lowest if lowest < 0 else highest if highest >= len(labeling.emitted) else channels[ids < 0].max()
        raise ImageError(Code.MODEL_FAILED, f"the model emitted class {wrong}, which its class table does not have")
    return ids.astype(labeling.dtype)


def _decided(
    strips: Iterator[tuple[slice, Array]], shape: tuple[int, ...], labeling: Labeling
) -> tuple[Array, Array | None]:
    """Decides strip by strip; `shape` is the result's (H, W)."""
    whole = (len(labeling.channel_ids), *shape) if labeling.has_planes else shape
    labels: Array = np.empty(whole, np.bool_ if labeling.has_planes else labeling.dtype)
    sureness = np.empty(whole, np.uint16) if labeling.needs_confidence else None
    for rows, scores in strips:
        labels[..., rows, :], sure = decide(scores, labeling)
        if sureness is not None and sure is not None:
            sureness[..., rows, :] = sure
    return labels, sureness


def decide(scores: Array, labeling: Labeling) -> tuple[Array, Array | None]:
    """Decides about scores `[C, R, W]`, finite float32 but for NaN, and overwrites them.

    Returns:
        Labels `[R, W]` or planes `[C, R, W]`; and their confidence, uint16 of the same shape, if it is needed.
    """
    labels, void = _thresholded(scores, labeling) if labeling.is_thresholded else _won(scores, labeling)
    sure = _sureness(scores, labeling) if labeling.needs_confidence else None
    if sure is not None and labeling.min_confidence > 0:
        void |= sure < round(labeling.min_confidence * UNIT)
    if void.any():
        labels[void] = False if labeling.has_planes else labeling.ignore
    return labels, sure


def _won(scores: Array, labeling: Labeling) -> tuple[Array, Array]:
    channels, best = winners(scores)
    return labeling.to_ids(channels), np.isnan(best)


def _thresholded(scores: Array, labeling: Labeling) -> tuple[Array, Array]:
    above, nan = scores > labeling.cut, np.isnan(scores)
    return (above, nan) if labeling.has_planes else (labeling.to_ids(above[0].view(np.uint8)), nan[0])


def _sureness(scores: Array, labeling: Labeling) -> Array:
    if labeling.is_thresholded or labeling.kind in EXCLUSIVE:
        return overwriting(scores, kind=labeling.kind, measure=labeling.measure)
    chances = sigmoid(scores) if labeling.kind == "multilabel_logits" else scores
    return overwriting(chances, kind="probabilities", measure=labeling.measure)


class Argmax(LookAhead):
    """`LogitsBatch` of one image, as `Predict` gives them, -> its `Labels`; failures go to the tag `failed`."""

    def __init__(self, labeling: Labeling) -> None:
        super().__init__(partial(label_map, labeling=labeling), output_type=Labels)
