"""Resizing as training did it: TensorFlow's, Pillow's and Keras's filters on arrays `[H, W, C]`."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import PIL.Image

from transforms.elements import Array

Resizer = Callable[[Array, int, int], Array]


def resize_bilinear_tf(pixels: Array, height: int, width: int) -> Array:
    """Resizes exactly as `tf.image.resize(pixels, (height, width))` does on a CPU without fused multiply-add.

    That is bilinear, with half-pixel centres and without antialiasing: whatever the scale, each output pixel is mixed
    from four pixels. The order of the float32 operations is that of TensorFlow's kernel, so every bit is the same.

    Args:
        pixels: `[H, W, C]`, uint8 or float32.
        height: Rows of the result.
        width: Columns of the result.

    Returns:
        Float32 `[height, width, C]`.
    """
    rows_in, columns_in, channels = pixels.shape
    if (rows_in, columns_in) == (height, width):
        return pixels.astype(np.float32)
    upper, lower, down = _taps(rows_in, height)
    left, right, across = _channel_taps(columns_in, width, channels)
    lines = pixels.reshape(rows_in, columns_in * channels)

    def mixed_across(some: Array) -> Array:
        # Bytes by index, at half the time of `take`.
        start = some[:, left].astype(np.float32, copy=False)
        mixed = some[:, right].astype(np.float32, copy=False)
        mixed -= start
        mixed *= across
        mixed += start
        return mixed

    if rows_in < 2 * height:
        every = mixed_across(lines)
        above, below = every.take(upper, axis=0), every.take(lower, axis=0)
    else:
        above, below = mixed_across(lines.take(upper, axis=0)), mixed_across(lines.take(lower, axis=0))
    below -= above
    below *= down[:, np.newaxis]
    below += above
    return below.reshape(height, width, channels)


@lru_cache(maxsize=256)
def _taps(size: int, wanted: int) -> tuple[Array, Array, Array]:
    """For each output along an axis of `size`: the two indices that it is mixed from, and the second's weight."""
    scale = np.float32(size) / np.float32(wanted)
    centre = (np.arange(wanted, dtype=np.float32) + np.float32(0.5)) * scale - np.float32(0.5)
    floor = np.floor(centre)
    first = floor.astype(np.intp).clip(0, size - 1)
    second = np.ceil(centre).astype(np.intp).clip(0, size - 1)
    return first, second, centre - floor


@lru_cache(maxsize=256)
def _channel_taps(size: int, wanted: int, channels: int) -> tuple[Array, Array, Array]:
    """`_taps` for pixels whose channels lie beside each other: numpy gathers single bytes faster than threes."""
    first, second, weight = _taps(size, wanted)
    channel = np.arange(channels)
    return (
        (first[:, np.newaxis] * channels + channel).ravel(),
        (second[:, np.newaxis] * channels + channel).ravel(),
        np.repeat(weight, channels),
    )


def resize_pillow(pixels: Array, height: int, width: int) -> Array:
    """Resizes as `PIL.Image.resize(..., BILINEAR)` does, antialiased, and `keras.utils.load_img` when told to.

    Args:
        pixels: `[H, W, C]`, uint8 or float32.
        height: Rows of the result.
        width: Columns of the result.

    Returns:
        `[height, width, C]` of the pixels' type: Pillow rounds 8-bit results.
    """
    if pixels.dtype == np.uint8 and pixels.shape[2] == 3:
        return np.asarray(PIL.Image.fromarray(pixels).resize((width, height), PIL.Image.Resampling.BILINEAR))
    bands = (PIL.Image.fromarray(np.ascontiguousarray(band)) for band in np.moveaxis(pixels, 2, 0))
    return np.stack(
        [np.asarray(band.resize((width, height), PIL.Image.Resampling.BILINEAR)) for band in bands], axis=2
    )


def resize_nearest(pixels: Array, height: int, width: int) -> Array:
    """Resizes as `PIL.Image.resize(..., NEAREST)` does, and by default `keras.utils.load_img`.

    Args:
        pixels: `[H, W, C]` of any type.
        height: Rows of the result.
        width: Columns of the result.

    Returns:
        `[height, width, C]` of the pixels' type.
    """
    return pixels.take(_nearest(pixels.shape[0], height), axis=0).take(_nearest(pixels.shape[1], width), axis=1)


@lru_cache(maxsize=256)
def _nearest(size: int, wanted: int) -> Array:
    # Pillow walks along the axis by adding its step, rounding errors included; so does cumsum.
    step = size / wanted
    steps = np.full(wanted, step)
    steps[0] = step * 0.5
    return np.cumsum(steps).astype(np.intp).clip(0, size - 1)


FILTERS: dict[str, Resizer] = {"tf": resize_bilinear_tf, "pillow": resize_pillow, "nearest": resize_nearest}
