"""Runs a model on a few images fed in different ways, to find out which way it was trained with."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import product

import numpy as np

from maskbeam.pipeline.commands.inspect.batch_statistics import BatchStatistics
from maskbeam.pipeline.commands.inspect.samples import Sample
from maskbeam.pipeline.models.loading.loaded_model import LoadedModel
from maskbeam.pipeline.models.probing.fed_model import FedModel
from maskbeam.pipeline.models.probing.find_head import choose_output
from maskbeam.pipeline.models.probing.find_input import find_input
from maskbeam.pipeline.models.probing.probe import Probe
from maskbeam.pipeline.options import RESIZE_FILTERS
from maskbeam.transforms.argmax import Labeling, label_map
from maskbeam.transforms.confidence import UNIT, confidence
from maskbeam.transforms.elements import Array, Image, LogitsBatch, ModelInput
from maskbeam.transforms.head import canonical
from maskbeam.transforms.normalize import NAMED, parse_normalization
from maskbeam.transforms.resampling.prepare import prepare

ORDERS = ("rgb", "bgr")
_FILTERS_DRAWN = 4
# Pictures of little colour fit about as well with red and blue exchanged.
ORDER_MARGIN = 1.1


@dataclass(frozen=True)
class Variant:
    """One way to feed a model: values of the flags of the same names."""

    normalize: str
    channel_order: str
    resize_filter: str

    def __str__(self) -> str:
        return f"{self.normalize} {self.channel_order} {self.resize_filter}"


@dataclass(frozen=True, eq=False)
class Finding:
    """The labels that a model made of the images when it was fed in one way.

    Attributes:
        variant: The way.
        labels: Class ids `[h, w]` of each image, at the model's size.
        shares: Of each channel, over all pixels.
        confidence: Mean probability of the winning class; None for a head of ids.
        mismatch: The distance of the images from what the model's batch normalisation remembers, see
            `BatchStatistics`; None where there is none.
    """

    variant: Variant
    labels: tuple[Array, ...]
    shares: Array
    confidence: float | None
    mismatch: float | None


class Variants:
    """A model and a few images."""

    def __init__(
        self,
        loaded: LoadedModel,
        probe: Probe,
        *,
        labeling: Labeling,
        images: Sequence[Sample],
    ) -> None:
        self._loaded, self._probe, self._labeling = loaded, probe, labeling
        self._samples = images
        self._statistics = BatchStatistics(loaded.model)
        self._facts, _ = find_input(loaded)
        self.images = cache(self._images)
        self.inputs = cache(self._inputs)

    def _images(self, resize_filter: str) -> list[Image]:
        return [sample.image(resize_filter) for sample in self._samples]

    def _inputs(self, resize_filter: str) -> list[ModelInput]:
        spec = replace(self._probe.spec, resize_filter=resize_filter)
        return [prepare(image, spec) for image in self.images(resize_filter)]

    def other_filters(self, base: str) -> list[str]:
        """The filters that make other planes of the images than `base`, and than each other: one of those alike."""
        kept = [base]
        for name in RESIZE_FILTERS:
            if not any(self._alike(name, other) for other in kept):
                kept.append(name)
        return kept[1:]

    def _alike(self, one: str, other: str) -> bool:
        pairs = zip(self.inputs(one), self.inputs(other), strict=True)
        return all(np.array_equal(a.plane, b.plane) for a, b in pairs)

    def run(self, variant: Variant) -> Finding:
        """Runs all images.

        Raises:
            ImageError: An image cannot be decoded, or does not fit the model.
        """
        fed = FedModel(self._loaded, self._facts, parse_normalization(variant.normalize), variant.channel_order)
        inputs = self.inputs(variant.resize_filter)
        with self._statistics.watch():
            values = [self._values(fed, image) for image in inputs]
        maps = [self._labels(image, scores) for image, scores in zip(inputs, values, strict=True)]
        return Finding(
            variant, tuple(maps), self._shares(maps), self._confidence(values), self._statistics.mismatch()
        )

    def _values(self, fed: FedModel, image: ModelInput) -> Array:
        """Canonical values `[h, w, C]`; int32 `[h, w]` for ids."""
        output = choose_output(fed(image.plane[None]), self._probe.head.output_name)
        head = self._probe.head
        if head.is_flat and head.grid is None:
            stride = self._probe.output_stride
            head = replace(head, grid=(image.plane.shape[0] // stride, image.plane.shape[1] // stride))
        values: Array = canonical(output.values, head)[0]
        return values.astype(np.int32 if head.kind == "ids" else np.float32)

    def _labels(self, image: ModelInput, values: Array) -> Array:
        nan = int(np.isnan(values).any(axis=-1).sum()) if values.ndim == 3 else 0
        found = label_map(LogitsBatch((image,), values[None], np.zeros(1, int), np.array([nan])), self._labeling)
        assert not found.are_planes  # noqa: S101 - the labeling takes the argmax of independent classes
        return found.pixels

    def _shares(self, maps: Sequence[Array]) -> Array:
        pixels = np.concatenate([labels.ravel() for labels in maps])
        return (
            np.array([np.count_nonzero(pixels == class_id) for class_id in self._labeling.channel_ids]) / pixels.size
        )

    def _confidence(self, values: Sequence[Array]) -> float | None:
        kind = self._probe.head.kind
        if kind == "ids":
            return None
        means = [confidence(np.moveaxis(scores, -1, 0), kind=kind).mean() / UNIT for scores in values]
        return float(np.mean(means))


def compare_variants(
    variants: Variants, *, base: Variant, scalings: Sequence[str], colored: bool
) -> tuple[list[Finding], Finding]:
    """Runs every scaling that is open with every order of colours; on top of the best of them every filter.

    Where nothing tells which scaling is right, filters wait until a person has chosen one.

    Args:
        variants: The model and the images.
        base: The variant that the user's flags and the model say.
        scalings: Those that are open; none where the user or the model says how pixels are scaled.
        colored: True where there are three channels to bring into order.

    Returns:
        What each gave, `base` first, and the best as in `best_of`.
    """
    names = [name for name in scalings if colored or not (NAMED[name].bgr or len(NAMED[name].mean) > 1)]
    orders = ORDERS if colored else ORDERS[:1]
    ways = [Variant(*way, base.resize_filter) for way in product(names or [base.normalize], orders)]
    findings = [variants.run(base), *(variants.run(way) for way in ways if way != base)]
    best = best_of(findings)
    if best.mismatch is not None or not scalings:
        others = variants.other_filters(base.resize_filter)
        findings += [variants.run(replace(best.variant, resize_filter=name)) for name in others]
    return findings, best


def best_of(findings: Sequence[Finding]) -> Finding:
    """The finding whose images fit the model's training best; the first, where that cannot be told.

    Confidence does not tell it: values that are far too large make a model very sure of nonsense.
    """
    base = findings[0].variant
    if findings[0].mismatch is None:
        return findings[0]

    def mismatch(finding: Finding) -> float:
        usual = finding.variant.channel_order == base.channel_order
        return (finding.mismatch or 0.0) * (1 if usual else ORDER_MARGIN)

    return min(findings, key=mismatch)


def worth_drawing(findings: Sequence[Finding], best: Finding) -> list[Finding]:
    """The findings to draw: scalings and orders, those that fit best first, and the filters that change most."""
    base = findings[0].variant.resize_filter
    first = [finding for finding in findings if finding.variant.resize_filter == base]
    filters = [finding for finding in findings if finding.variant.resize_filter != base]
    filters.sort(key=lambda finding: -_changed(finding, best))
    return [*sorted(first, key=lambda finding: finding.mismatch or 0.0), *filters[:_FILTERS_DRAWN]]


def _changed(one: Finding, other: Finding) -> float:
    """The share of pixels with another label."""
    return float(np.mean([(a != b).mean() for a, b in zip(one.labels, other.labels, strict=True)]))
