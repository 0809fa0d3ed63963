"""The weight of a pixel by its place in its window, for scores of windows that overlap."""

from collections.abc import Callable
from functools import lru_cache, reduce

import numpy as np

from maskbeam.transforms.elements import Array

HANN, GAUSSIAN, CONSTANT, NEAREST = BLENDS = ("hann", "gaussian", "constant", "nearest")
# Of the Gaussian, in windows; and the least weight that a pixel has.
_SIGMA = 0.125
_LEAST = np.float32(1e-3)


@lru_cache(maxsize=8)
def weights(height: int, width: int, blend: str) -> Array:
    """The weights of a window's pixels, float32 `[height, width]`, above 0.

    `hann` is a raised cosine (von Hann's window) along each axis, sampled at pixels' centres: nearly 0 at the edge,
    where a model knows least of what is around. `gaussian` and `constant` are exactly those of MONAI's
    `sliding_window_inference`: a Gaussian of 1/8 of the window, nowhere below 0.001 or below its own least value if
    that is more; and 1.

    Raises:
        ValueError: There is no such kind of weights; `nearest` has none, since each pixel is one window's alone.
    """
    if blend not in _ALONG:
        raise ValueError(f"{blend!r} has no weights; choose from {', '.join(_ALONG)}")
    product: Array = reduce(np.multiply.outer, (_ALONG[blend](side) for side in (height, width)))
    if blend == GAUSSIAN:
        np.maximum(product, max(product.min(), _LEAST), out=product)
    product.setflags(write=False)
    return product


def _hann(size: int) -> Array:
    centres = (np.arange(size) + 0.5) / size
    return (0.5 - 0.5 * np.cos(2 * np.pi * centres)).astype(np.float32)


def _gaussian(size: int) -> Array:
    # In float32 throughout, as there.
    distances = np.arange(size, dtype=np.float32) - np.float32((size - 1) / 2)
    return np.asarray(np.exp(distances**2 / np.float32(-2 * (_SIGMA * size) ** 2)))


def _constant(size: int) -> Array:
    return np.ones(size, np.float32)


_ALONG: dict[str, Callable[[int], Array]] = {HANN: _hann, GAUSSIAN: _gaussian, CONSTANT: _constant}
