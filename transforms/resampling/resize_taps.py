"""Filters of TensorFlow and OpenCV as taps: which pixels of an axis an output is mixed from, and with which weights.

Taps are `(index, weight)`, both `[n, k]` for n outputs along an axis and k pixels each. Positions, weights and the
order of operations are those of the libraries' own kernels: TensorFlow 2.21 (`resize_bicubic_op.cc`,
`resize_area_op.cc`, `scale_and_translate_op.cc`), OpenCV 4 and 5 (`imgproc/src/resize.cpp`).
"""

from functools import lru_cache

import numpy as np

from maskbeam.transforms.elements import Array

Taps = tuple[Array, Array]
_ONE, _HALF = np.float32(1), np.float32(0.5)
# TensorFlow takes the cubic's weights from a table of this many steps a pixel.
_STEPS = 1024
# OpenCV mixes bytes with weights of 11 bits.
_BITS = 11


def mix(pixels: Array, rows: Taps, columns: Taps) -> Array:
    """Mixes `[H, W, C]` along its columns, then along its rows, in the type that pixels times weights have."""
    index, weight = rows
    used, index = np.unique(index, return_inverse=True)
    lines = _weighted(pixels[used].swapaxes(0, 1), columns).swapaxes(0, 1)
    return _weighted(lines, (index.reshape(weight.shape), weight))


def _weighted(lines: Array, taps: Taps) -> Array:
    """Along the first axis; taps one after the other, because float32 sums depend on their order."""
    index, weight = taps
    total: Array = lines[index[:, 0]] * weight[:, 0, None, None]
    for k in range(1, weight.shape[1]):
        total += lines[index[:, k]] * weight[:, k, None, None]
    return total


@lru_cache(maxsize=256)
def tf_bicubic(size: int, wanted: int) -> Taps:
    """Keys' cubic with a = -0.5, half-pixel centres, no antialiasing; weights beyond the edge go to those within."""
    near, far = _cubic(np.arange(_STEPS + 1) / _STEPS, -0.5)
    centre = (np.arange(wanted, dtype=np.float32) + _HALF) * (np.float32(size) / np.float32(wanted)) - _HALF
    first = np.floor(centre)
    step = np.rint((centre - first) * np.float32(_STEPS)).astype(np.intp)
    asked = first.astype(np.intp)[:, None] + np.arange(-1, 3)
    index = asked.clip(0, size - 1)
    weight = np.stack([far[step], near[step], near[_STEPS - step], far[_STEPS - step]], axis=1)
    weight = np.where(index == asked, weight, np.float32(0))
    return index, weight / weight.sum(axis=1, keepdims=True)


def _cubic(x: Array, a: float) -> tuple[Array, Array]:
    """Weights, float32, of the pixels at the distances x and x + 1 (Keys, 1981)."""
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * (x + 1) - 5 * a) * (x + 1) + 8 * a) * (x + 1) - 4 * a
    return near.astype(np.float32), far.astype(np.float32)


@lru_cache(maxsize=256)
def tf_area(size: int, wanted: int) -> Taps:
    """Each output is the mean of the pixels that it covers, each by its covered share."""
    scale = np.float32(size) / np.float32(wanted)
    start = np.arange(wanted, dtype=np.float32)[:, None] * scale
    end = (np.arange(wanted, dtype=np.float32)[:, None] + _ONE) * scale
    first, last = np.floor(start).astype(np.intp), np.ceil(end).astype(np.intp)
    index = first + np.arange(int((last - first).max()))
    covered = np.minimum(index + 1, end) - np.maximum(index, start)
    weight = np.where(index < last, covered, 0).astype(np.float32) / scale
    return index.clip(0, size - 1), weight


@lru_cache(maxsize=256)
def tf_lanczos3(size: int, wanted: int) -> Taps:
    """Lanczos' kernel of radius 3, half-pixel centres, no antialiasing, weights scaled to a sum of 1."""
    radius = 3
    centre = ((np.arange(wanted) + 0.5) * np.float64(np.float32(size) / np.float32(wanted))).astype(np.float32)
    index = np.ceil(centre - np.float32(radius) - _HALF).astype(np.intp)[:, None] + np.arange(2 * radius + 1)
    x = (index + 0.5 - centre[:, None]).astype(np.float32)
    weight = np.where(np.abs(x) <= radius, np.sinc(x) * np.sinc(x / radius), 0)
    weight = np.where((index >= 0) & (index < size), weight, 0).astype(np.float32)
    return index.clip(0, size - 1), weight / weight.sum(axis=1, keepdims=True)


@lru_cache(maxsize=256)
def opencv_linear(size: int, wanted: int, *, rows: bool) -> Taps:
    """Two pixels. Beyond the edge columns take the last one alone, rows take it twice, which rounds otherwise."""
    first, weight = _opencv_position(size, wanted)
    if not rows:
        weight = np.where((first < 0) | (first >= size - 1), np.float32(0), weight)
    return _around(first.clip(0, size - 1) if not rows else first, size, (_ONE - weight, weight), before=0)


@lru_cache(maxsize=256)
def opencv_cubic(size: int, wanted: int) -> Taps:
    """Keys' cubic with a = -0.75; pixels of the edge are repeated beyond it."""
    first, x = _opencv_position(size, wanted)
    a = np.float32(-0.75)
    before = ((a * (x + _ONE) - 5 * a) * (x + _ONE) + 8 * a) * (x + _ONE) - 4 * a
    at = ((a + 2) * x - (a + 3)) * x * x + _ONE
    after = ((a + 2) * (_ONE - x) - (a + 3)) * (_ONE - x) * (_ONE - x) + _ONE
    return _around(first, size, (before, at, after, _ONE - before - at - after), before=1)


@lru_cache(maxsize=256)
def opencv_lanczos4(size: int, wanted: int) -> Taps:
    """Lanczos' kernel of radius 4, weights scaled to a sum of 1; pixels of the edge are repeated beyond it."""
    first, x = _opencv_position(size, wanted)
    distance = x[:, None].astype(np.float64) + 3 - np.arange(8)
    kernel = (np.sinc(distance) * np.sinc(distance / 4)).astype(np.float32)
    weight = kernel * (_ONE / kernel.sum(axis=1, keepdims=True))
    return _around(first, size, tuple(weight.T), before=3)


@lru_cache(maxsize=256)
def opencv_area(size: int, wanted: int) -> Taps:
    """Of fewer outputs than pixels: the mean of those that each covers, slivers of under a thousandth left out."""
    scale = 1 / (wanted / size)
    taps = [_covered(number * scale, scale, size) for number in range(wanted)]
    index = np.zeros((wanted, max(map(len, taps))), np.intp)
    weight = np.zeros(index.shape, np.float32)
    for number, pairs in enumerate(taps):
        index[number, : len(pairs)], weight[number, : len(pairs)] = zip(*pairs, strict=True)
    return index, weight


def _covered(start: float, scale: float, size: int) -> list[tuple[int, float]]:
    end, cell, sliver = start + scale, min(scale, size - start), 1e-3
    last = min(int(np.floor(end)), size - 1)
    first = min(int(np.ceil(start)), last)
    before = [(first - 1, (first - start) / cell)] if first - start > sliver else []
    after = [(last, min(end - last, 1.0, cell) / cell)] if end - last > sliver else []
    return [*before, *((i, 1 / cell) for i in range(first, last)), *after]


@lru_cache(maxsize=256)
def opencv_area_larger(size: int, wanted: int) -> Taps:
    """Of more outputs than pixels: copies of them, mixed only where an output lies on two."""
    inverse = wanted / size
    number = np.arange(wanted)
    first = np.floor(number * (1 / inverse)).astype(np.intp)
    share = ((number + 1) - (first + 1) * inverse).astype(np.float32)
    weight = np.where(share <= 0, np.float32(0), share - np.floor(share))
    return _around(first, size, (_ONE - weight, weight), before=0)


def _opencv_position(size: int, wanted: int) -> tuple[Array, Array]:
    """The pixel before each output's centre, and how far the centre lies behind it, float32."""
    centre = ((np.arange(wanted) + 0.5) * (1 / (wanted / size)) - 0.5).astype(np.float32)
    first = np.floor(centre)
    return first.astype(np.intp), centre - first


def _around(first: Array, size: int, weights: tuple[Array, ...], *, before: int) -> Taps:
    index = first[:, None] + np.arange(-before, len(weights) - before)
    return index.clip(0, size - 1), np.stack(weights, axis=1).astype(np.float32)


def in_integers(taps: Taps) -> Taps:
    """Taps `[size, taps]` with weights of 11 bits, int64."""
    return taps[0], np.rint(taps[1] * np.float32(1 << _BITS)).astype(np.int64)


def linear_bytes(pixels: Array, rows: Taps, columns: Taps) -> Array:
    """Bytes `[H, W, C]` mixed from two rows of two pixels, uint8, rounded as OpenCV rounds them."""
    index, weight = in_integers(rows)
    lines = _weighted(pixels.swapaxes(0, 1), in_integers(columns)).swapaxes(0, 1) >> 4
    upper, lower = (lines[index[:, k]] * weight[:, k, None, None] >> 16 for k in (0, 1))
    return ((upper + lower + 2) >> 2).astype(np.uint8)


def mixed_bytes(pixels: Array, rows: Taps, columns: Taps) -> Array:
    """Bytes `[H, W, C]` mixed from several rows and columns, uint8, rounded and clipped as OpenCV does it."""
    total = mix(pixels, in_integers(rows), in_integers(columns))
    half = 1 << (2 * _BITS - 1)
    return ((total + half) >> (2 * _BITS)).clip(0, 255).astype(np.uint8)
