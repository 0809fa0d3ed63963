"""Transposed convolutions with fewer multiplications, which is where a U-Net's decoder spends most of its time.

Libraries compute one as the gradient of a convolution: input channels times filters times kernel for each pixel of
the input. Two kinds of layers take less on a CPU, and give the same values up to rounding:

- Few filters, as in the layer that ends in the classes: a vector unit computes 16 filters in the time of one. The
  outputs that one pixel of the input grows into become channels of a single plain convolution.
- Kernel 3, stride 2: along an axis every other output has two taps. A pair of those takes three products and not
  four: x0 c + x1 a and x1 c + x2 a are (x0 - x1) c + x1 (a + c) and x1 (a + c) + (x2 - x1) a. That is F(2, 2) of
  Winograd, "Arithmetic Complexity of Computations" (1980). Both axes together take 25 products for 36.
"""

from collections.abc import Iterator, Sequence
from functools import partial, reduce
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from maskbeam.pipeline.models.engines.keras_cpu.graph_tensors import joined
from maskbeam.transforms.elements import Array

# Filters that a vector unit computes at once: 512 bits of float32.
LANES = 16
# Below this many filters, moving the sums and differences costs what the products save: 128 gained nothing where both
# cores of a machine computed. Below this many pixels, reading 25 kernels does instead of nine.
LEAST_FILTERS = 256
LEAST_PIXELS = 16


class Upsample(Protocol):
    """Computes a transposed convolution."""

    def __call__(self, images: tf.Tensor, kernel: Array, *, bias: Array | None) -> tf.Tensor:
        """Takes images `[N, H, W, C]`, kernel `[k, k, F, C]`, bias `[F]`; gives `[N, H * stride, W * stride, F]`."""
        ...


def upsampling(layer: Any, images: tf.Tensor) -> Upsample | None:
    """A function of fewer products than a `Conv2DTranspose` of Keras has on `[N, H, W, C]`; None if there is none."""
    if not _is_square(layer):
        return None
    stride, size, filters = layer.strides[0], layer.kernel_size[0], layer.filters
    if stride > 1 and filters * stride * stride <= LANES:
        return partial(upsample_at_once, stride=stride)
    height, width = images.shape[1:3]
    if (stride, size) != (2, 3) or height is None or width is None or height % 2 or width % 2:
        return None
    pays = filters >= LEAST_FILTERS and height * width >= LEAST_PIXELS
    return upsample_by_sums if pays else None


def _is_square(layer: Any) -> bool:
    return (
        layer.padding == "same"
        and layer.output_padding is None
        and tuple(layer.dilation_rate) == (1, 1)
        and len(set(layer.strides)) == len(set(layer.kernel_size)) == 1
        and layer.kernel_size[0] >= layer.strides[0]
    )


def upsample_at_once(images: tf.Tensor, kernel: Array, stride: int, *, bias: Array | None = None) -> tf.Tensor:
    """A transposed convolution as one convolution whose channels are the outputs that a pixel grows into.

    Args:
        images: float32 `[N, H, W, C]`.
        kernel: float32 `[k, k, F, C]`, k at least the stride, as Keras keeps it; padding is `same`.
        stride: How many outputs a pixel grows into along an axis, at least two.
        bias: float32 `[F]`, or None.

    Returns:
        float32 `[N, H * stride, W * stride, F]`.
    """
    taps, around = _taps_at_once(kernel, stride)
    grown = [
        tf.nn.conv2d(tf.pad(part, ((0, 0), around, around, (0, 0))), some, strides=1, padding="VALID")
        for part, some in _apart(images, taps)
    ]
    if bias is not None:
        # Here it is part of a convolution; of three channels at full size it took longer than all that follows.
        grown[0] = tf.nn.bias_add(grown[0], np.tile(bias, stride * stride))
    return tf.nn.depth_to_space(reduce(tf.add, grown), stride)


def _apart(images: tf.Tensor, kernel: Array) -> Iterator[tuple[tf.Tensor, Array]]:
    """Images and a convolution's kernel `[t, t, C, F]`, or the parts of both whose results add up to the same.

    To join what a decoder and its encoder give, only to sum it up, is a copy of both. Each part has outputs of its
    own to be added, which narrow ones are not worth.
    """
    parts = joined(images)
    if len(parts) > 1 and min(part.shape[-1] for part in parts) < LANES:
        parts = [images]
    starts = np.cumsum([0, *(part.shape[-1] for part in parts[:-1])])
    return zip(parts, np.split(kernel, starts[1:], axis=2), strict=True)


def _taps_at_once(kernel: Array, stride: int) -> tuple[Array, tuple[int, int]]:
    """A plain convolution's kernel `[t, t, C, stride * stride * F]`; how many inputs before and after it reaches."""
    size, _, filters, channels = kernel.shape
    # Output `stride * i + phase` sums input `i - back` times tap `stride * back + phase + cut`.
    cut = (size - stride) // 2
    most, least = (size - 1 - cut) // stride, -((stride - 1 + cut) // stride)
    taps = np.zeros((most - least + 1, most - least + 1, channels, stride, stride, filters), kernel.dtype)
    places = [
        (most - back, phase, stride * back + phase + cut)
        for back in range(least, most + 1)
        for phase in range(stride)
        if 0 <= stride * back + phase + cut < size
    ]
    for row, down, tap in places:
        for column, across, other in places:
            taps[row, column, :, down, across] = kernel[tap, other].T
    return taps.reshape(*taps.shape[:3], -1), (most, -least)


def upsample_by_sums(images: tf.Tensor, kernel: Array, *, bias: Array | None = None) -> tf.Tensor:
    """A transposed convolution of stride 2 by Winograd's F(2, 2) along both axes.

    Args:
        images: float32 `[N, H, W, C]`, H and W known and even.
        kernel: float32 `[3, 3, F, C]`, as Keras keeps it; padding is `same`.
        bias: float32 `[F]`, or None.

    Returns:
        float32 `[N, 2 * H, 2 * W, F]`.
    """
    _, height, width, _ = images.shape
    filters = kernel.shape[2]
    rows = [
        [
            # Four columns next to each other are four times the channels of one.
            tf.reshape(tf.concat(columns, axis=-1), (-1, height // 2, 1, 2 * width * filters))
            for columns in _columns(row, kernels)
        ]
        for row, kernels in zip(_differences(images, axis=1), _sums(kernel.transpose(0, 1, 3, 2)), strict=True)
    ]
    outputs = tf.reshape(tf.concat(_outputs(rows), axis=2), (-1, 2 * height, 2 * width, filters))
    return outputs if bias is None else tf.nn.bias_add(outputs, bias)


def _columns(row: tf.Tensor, kernels: Sequence[Array]) -> list[list[tf.Tensor]]:
    """Four columns of outputs, each `[N, pixels, F]`, of one of the differences of rows with each of its kernels."""
    _, height, width, channels = row.shape
    products: list[list[list[tf.Tensor]]] = [[] for _ in kernels]
    for column, *sums in zip(_differences(row, axis=2), *map(_sums, kernels), strict=True):
        # All that one input is multiplied with, in one product. Every image has its own: the last bits of a product
        # depend on how many rows it has, and a mask must not depend on which images it came with.
        side_by_side = _constant(np.concatenate([one for group in sums for one in group], axis=-1))
        product = tf.matmul(tf.reshape(column, (-1, height * width // 2, channels)), side_by_side)
        for index, part in enumerate(tf.split(product, len(kernels), axis=-1)):
            products[index].append(tf.split(part, len(sums[index]), axis=-1))
    return [_outputs(of_kernel) for of_kernel in products]


def _differences(images: tf.Tensor, axis: int) -> list[tf.Tensor]:
    """Of each pair along an axis, and the one before it, what is multiplied; half as long as the images."""
    shape = [-1, *images.shape[1:]]
    pairs = tf.reshape(images, [*shape[:axis], shape[axis] // 2, 2, *shape[axis + 1 :]])
    first, second = tf.unstack(pairs, axis=axis + 1)
    without_last, _ = tf.split(second, [-1, 1], axis=axis)
    before = tf.pad(without_last, [(1, 0) if other == axis else (0, 0) for other in range(4)])
    return [before - first, first, second - first, second]


def _sums(kernel: Array) -> list[list[Array]]:
    """The sums that the differences along the kernel's first axis are multiplied with."""
    first, middle, last = kernel
    return [[last], [first + last, middle], [first], [middle]]


def _outputs(products: Sequence[Sequence[tf.Tensor]]) -> list[tf.Tensor]:
    """The four outputs of a pair, from the products of its differences."""
    (before,), (shared, odd), (after,), (other_odd,) = products
    return [before + shared, odd, shared + after, other_odd]


def _constant(values: Array) -> tf.Tensor:
    """Kept once beside the graph: in it, all copies of it would hold them too."""
    with tf.init_scope():
        return tf.constant(values)
