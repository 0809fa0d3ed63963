"""Windows by plain loops, which `transforms/tiling` is held against; and an engine to try it with."""

from typing import Protocol

import numpy as np

from maskbeam.transforms.elements import Array
from maskbeam.transforms.predict import Scores
from maskbeam.transforms.tiling.weights import NEAREST, weights


class PlaceEngine:
    """Scores that depend on a pixel's place in its window: windows that overlap do not agree.

    `coarse` is the number of input pixels for one score along each axis.
    """

    def __init__(self, channels: int, *, batch_size: int = 4, coarse: int = 1, ids: bool = False) -> None:
        self.batch_size = batch_size
        self.channels = channels
        self.coarse = coarse
        self.ids = ids
        self.sizes: list[int] = []

    def __call__(self, planes: Array) -> Scores:
        self.sizes.append(len(planes))
        logits = np.stack([self.scores(plane) for plane in planes])
        if self.ids:
            logits = logits.argmax(axis=-1).astype(np.int32)
        zeros = np.zeros(len(planes), np.int64)
        return Scores(logits, zeros, zeros)

    def scores(self, plane: Array) -> Array:
        """Float32 `[h, w, C]` of a plane `[h, w, c]`."""
        some = plane[:: self.coarse, :: self.coarse].astype(np.float32)
        rows, columns = np.indices(some.shape[:2], dtype=np.float32)
        waves = [np.sin(some[..., 0] * (k + 1) / 9 + rows * k / 5 - columns / (k + 3)) for k in range(self.channels)]
        return np.stack(waves, axis=-1).astype(np.float32)


def plain_starts(size: int, window: int, stride: int) -> list[int]:
    """As MONAI lays windows: each at a multiple of the stride, moved back where it would reach beyond the end."""
    found: list[int] = []
    start = 0
    while True:
        found.append(max(0, min(start, size - window)))
        if start + window >= size:
            return found
        start += stride


class Scoring(Protocol):
    """A model by its scores of one plane."""

    channels: int

    def scores(self, plane: Array) -> Array:
        """Float32 `[h, w, C]` of a plane `[h, w, c]`."""


def plain_labels(pixels: Array, engine: Scoring, window: int, stride: int, blend: str) -> Array:
    """The labels `[H, W]` of an image `[H, W, C]`."""
    return np.asarray(plain_scores(pixels, engine, window, stride, blend).argmax(axis=-1))


def plain_scores(pixels: Array, engine: Scoring, window: int, stride: int, blend: str) -> Array:
    """The scores `[H, W, C]` of an image `[H, W, C]`, by adding up all of its windows in one array."""
    height, width = pixels.shape[:2]
    padded = np.pad(pixels, ((0, max(0, window - height)), (0, max(0, window - width)), (0, 0)), mode="reflect")
    sums = np.zeros((*padded.shape[:2], engine.channels), np.float32)
    total = np.zeros(padded.shape[:2], np.float32)
    nearest = np.full(padded.shape[:2], np.inf)
    for top in plain_starts(height, window, stride):
        for left in plain_starts(width, window, stride):
            place = slice(top, top + window), slice(left, left + window)
            scores = engine.scores(padded[place])
            if blend == NEAREST:
                rows, columns = np.indices((window, window)) + 0.5 - window / 2
                wins = rows**2 + columns**2 < nearest[place]
                sums[place][wins], nearest[place][wins] = scores[wins], (rows**2 + columns**2)[wins]
            else:
                sums[place] += scores * weights(window, window, blend)[..., None]
                total[place] += weights(window, window, blend)
    scores = sums if blend == NEAREST else sums / total[..., None]
    return np.asarray(scores[:height, :width])
