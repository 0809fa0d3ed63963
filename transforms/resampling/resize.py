"""Resizing as training did it: the filters of TensorFlow, Pillow, Keras and OpenCV on arrays `[H, W, C]`."""

from collections.abc import Callable
from functools import lru_cache, partial

import numpy as np
import PIL.Image

from maskbeam.transforms.elements import Array
from maskbeam.transforms.resampling import resize_taps

Resizer = Callable[[Array, int, int], Array]
FindTaps = Callable[[int, int], resize_taps.Taps]


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


def resize_pillow(
    pixels: Array, height: int, width: int, resample: PIL.Image.Resampling = PIL.Image.Resampling.BILINEAR
) -> Array:
    """Resizes as `PIL.Image.resize(..., resample)` does, antialiased, and `keras.utils.load_img` when told to.

    Args:
        pixels: `[H, W, C]`, uint8 or float32.
        height: Rows of the result.
        width: Columns of the result.
        resample: Pillow's filter.

    Returns:
        `[height, width, C]` of the pixels' type: Pillow rounds 8-bit results.
    """
    if pixels.dtype == np.uint8 and pixels.shape[2] == 3:
        return np.asarray(PIL.Image.fromarray(pixels).resize((width, height), resample))
    bands = (PIL.Image.fromarray(np.ascontiguousarray(band)) for band in np.moveaxis(pixels, 2, 0))
    return np.stack([np.asarray(band.resize((width, height), resample)) for band in bands], axis=2)


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


def resize_nearest_tf(pixels: Array, height: int, width: int) -> Array:
    """Resizes `[H, W, C]` exactly as `tf.image.resize(..., method="nearest")` does; otherwise as `resize_nearest`."""
    rows, columns = (_nearest_tf(*sides) for sides in zip(pixels.shape, (height, width), strict=False))
    return pixels.take(rows, axis=0).take(columns, axis=1)


@lru_cache(maxsize=256)
def _nearest_tf(size: int, wanted: int) -> Array:
    centre = (np.arange(wanted, dtype=np.float32) + np.float32(0.5)) * (np.float32(size) / np.float32(wanted))
    return _cells(centre, size)


def resize_nearest_opencv(pixels: Array, height: int, width: int) -> Array:
    """Resizes `[H, W, C]` exactly as `cv2.resize(..., INTER_NEAREST)` does; arguments as in `resize_nearest`."""
    rows, columns = (_nearest_opencv(*sides) for sides in zip(pixels.shape, (height, width), strict=False))
    return pixels.take(rows, axis=0).take(columns, axis=1)


@lru_cache(maxsize=256)
def _nearest_opencv(size: int, wanted: int) -> Array:
    return _cells(np.arange(wanted) * (1 / (wanted / size)), size)


def _cells(positions: Array, size: int) -> Array:
    cells: Array = np.floor(positions).astype(np.intp).clip(0, size - 1)
    return cells


def resize_by_taps_tf(pixels: Array, height: int, width: int, *, find: FindTaps) -> Array:
    """Resizes as `tf.image.resize` does with a method other than bilinear and nearest, within float32's rounding.

    Args:
        pixels: `[H, W, C]`, uint8 or float32.
        height: Rows of the result.
        width: Columns of the result.
        find: The method's taps.

    Returns:
        Float32 `[height, width, C]`.
    """
    rows, columns = find(pixels.shape[0], height), find(pixels.shape[1], width)
    return resize_taps.mix(pixels.astype(np.float32), rows, columns)


def resize_opencv(pixels: Array, height: int, width: int, *, find: FindTaps) -> Array:
    """Resizes as `cv2.resize` does with INTER_CUBIC or INTER_LANCZOS4.

    Bytes come out as OpenCV's own integer arithmetic gives them. Its cubic is partly in float32, by processor and
    build, which is a level off in some pixels.

    Args:
        pixels: `[H, W, C]`, uint8 or float32.
        height: Rows of the result.
        width: Columns of the result.
        find: The filter's taps.

    Returns:
        `[height, width, C]` of the pixels' type.
    """
    rows, columns = find(pixels.shape[0], height), find(pixels.shape[1], width)
    mixed = resize_taps.mixed_bytes if pixels.dtype == np.uint8 else resize_taps.mix
    return mixed(pixels, rows, columns)


def resize_linear_opencv(pixels: Array, height: int, width: int) -> Array:
    """Resizes `[H, W, C]` exactly as `cv2.resize` does by default, INTER_LINEAR; arguments as in `resize_opencv`."""
    if pixels.shape[:2] == (2 * height, 2 * width):
        return resize_area_opencv(pixels, height, width)
    rows = resize_taps.opencv_linear(pixels.shape[0], height, rows=True)
    columns = resize_taps.opencv_linear(pixels.shape[1], width, rows=False)
    mixed = resize_taps.linear_bytes if pixels.dtype == np.uint8 else resize_taps.mix
    return mixed(pixels, rows, columns)


def resize_area_opencv(pixels: Array, height: int, width: int) -> Array:
    """Resizes `[H, W, C]` as `cv2.resize(..., INTER_AREA)` does, exactly; arguments as in `resize_opencv`."""
    rows_in, columns_in, channels = pixels.shape
    if height > rows_in or width > columns_in:
        larger = resize_taps.opencv_area_larger
        mixed = resize_taps.linear_bytes if pixels.dtype == np.uint8 else resize_taps.mix
        return mixed(pixels, larger(rows_in, height), larger(columns_in, width))
    if rows_in % height == 0 and columns_in % width == 0:
        return _block_means(pixels.reshape(height, rows_in // height, width, columns_in // width, channels))
    rows, columns = resize_taps.opencv_area(rows_in, height), resize_taps.opencv_area(columns_in, width)
    return _in_type_of(pixels, resize_taps.mix(pixels.astype(np.float32), rows, columns))


def _block_means(blocks: Array) -> Array:
    pixels = blocks.shape[1] * blocks.shape[3]
    if blocks.dtype == np.uint8 and blocks.shape[1:4:2] == (2, 2):
        quarters: Array = (blocks.sum(axis=(1, 3), dtype=np.uint16) + 2) >> 2
        return quarters.astype(np.uint8)
    total = blocks.sum(axis=(1, 3), dtype=np.int64 if blocks.dtype == np.uint8 else np.float32)
    return _in_type_of(blocks, total.astype(np.float32) * np.float32(1 / pixels))


def _in_type_of(pixels: Array, resized: Array) -> Array:
    if pixels.dtype != np.uint8:
        return resized
    rounded: Array = np.rint(resized).clip(0, 255).astype(np.uint8)
    return rounded


# The names are those of `pipeline.options.RESIZE_FILTERS`.
FILTERS: dict[str, Resizer] = {
    "tf": resize_bilinear_tf,
    "tf-nearest": resize_nearest_tf,
    "tf-bicubic": partial(resize_by_taps_tf, find=resize_taps.tf_bicubic),
    "tf-area": partial(resize_by_taps_tf, find=resize_taps.tf_area),
    "tf-lanczos3": partial(resize_by_taps_tf, find=resize_taps.tf_lanczos3),
    "pillow": resize_pillow,
    "pillow-bicubic": partial(resize_pillow, resample=PIL.Image.Resampling.BICUBIC),
    "pillow-lanczos": partial(resize_pillow, resample=PIL.Image.Resampling.LANCZOS),
    "pillow-box": partial(resize_pillow, resample=PIL.Image.Resampling.BOX),
    "nearest": resize_nearest,
    "opencv-linear": resize_linear_opencv,
    "opencv-cubic": partial(resize_opencv, find=resize_taps.opencv_cubic),
    "opencv-area": resize_area_opencv,
    "opencv-lanczos4": partial(resize_opencv, find=resize_taps.opencv_lanczos4),
    "opencv-nearest": resize_nearest_opencv,
}


def is_of_tensorflow(resize_filter: str) -> bool:
    """True if a training that resized so read its JPEGs with TensorFlow, too."""
    return resize_filter.startswith("tf")
