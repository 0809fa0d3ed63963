"""Inputs of the label transforms: what a model might have said of one image, and the label map of it."""

from typing import Any

import numpy as np

from maskbeam.transforms.elements import Array, Labels, LogitsBatch, Placement, Source
from tests.support.elements import made_input, made_labels

SOURCE = Source("in/a.png", "1")


def whole(size: tuple[int, int], plane: tuple[int, int]) -> Placement:
    """An image of `size` that fills an input plane."""
    return Placement(*size, *plane, 0, 0, *plane)


def batch(scores: Array, placement: Placement | None = None, *, image: Array | None = None) -> LogitsBatch:
    """A batch of one; by default the image is as large as the model's output. NaNs are counted."""
    placement = placement or whole(scores.shape[:2], scores.shape[:2])
    held = made_input("a", SOURCE, placement, np.empty(0, np.uint8), image)
    nan = int(np.isnan(scores).any(axis=-1).sum()) if scores.ndim == 3 else 0
    return LogitsBatch((held,), scores[None], np.array([1234]), np.array([nan]))


def labelled(labels: Array, **other: Any) -> Labels:
    return made_labels("a", SOURCE, labels, **other)


def scores_of(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32) * 5
