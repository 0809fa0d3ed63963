"""Transposed convolutions with fewer multiplications give what the definition says."""

import numpy as np
import pytest
import tensorflow as tf

from maskbeam.pipeline.models.engines.keras_cpu.transposed import upsample_at_once, upsample_by_sums
from maskbeam.transforms.elements import Array


def numbers(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def plain(images: Array, kernel: Array, stride: int) -> Array:
    """Every pixel adds its kernel to the output; what lies beyond the `same` size is cut off."""
    count, height, width, _ = images.shape
    size, _, filters, _ = kernel.shape
    whole = np.zeros((count, stride * (height - 1) + size, stride * (width - 1) + size, filters))
    for row in range(height):
        for column in range(width):
            grown = np.einsum("nc,abfc->nabf", images[:, row, column].astype(float), kernel.astype(float))
            top, left = stride * row, stride * column
            whole[:, top : top + size, left : left + size] += grown
    cut = (size - stride) // 2
    return whole[:, cut : cut + stride * height, cut : cut + stride * width]


@pytest.mark.parametrize(("size", "stride"), [(2, 2), (3, 2), (4, 2), (5, 2), (6, 2), (3, 3), (7, 3), (8, 4), (5, 4)])
def test_one_convolution_gives_what_the_transposed_one_does(size: int, stride: int) -> None:
    images, kernel, bias = numbers(2, 5, 4, 6), numbers(size, size, 3, 6), numbers(3)
    expected = plain(images, kernel, stride)
    np.testing.assert_allclose(upsample_at_once(images, kernel, stride), expected, atol=1e-4)
    np.testing.assert_allclose(upsample_at_once(images, kernel, stride, bias=bias), expected + bias, atol=1e-4)


@pytest.mark.parametrize(("channels", "convolutions"), [((16, 20), 2), ((16, 17, 18), 3), ((15, 40), 1), ((40,), 1)])
def test_wide_parts_of_what_was_joined_are_convolved_apart(channels: tuple[int, ...], convolutions: int) -> None:
    parts, bias = [numbers(2, 5, 4, count) for count in channels], numbers(3)
    images, kernel = np.concatenate(parts, axis=-1), numbers(3, 3, 3, sum(channels))

    @tf.function(autograph=False)
    def upsample(*parts: tf.Tensor) -> tf.Tensor:
        return upsample_at_once(tf.concat(parts, axis=-1), kernel, 2, bias=bias)

    np.testing.assert_allclose(upsample(*parts), plain(images, kernel, 2) + bias, atol=1e-4)
    graph = upsample.get_concrete_function(*parts).graph
    assert [op.type for op in graph.get_operations()].count("Conv2D") == convolutions


@pytest.mark.parametrize(("height", "width"), [(2, 2), (4, 10), (8, 6)])
def test_sums_give_what_the_transposed_convolution_does(height: int, width: int) -> None:
    images, kernel, bias = numbers(2, height, width, 7), numbers(3, 3, 5, 7), numbers(5)
    expected = plain(images, kernel, 2)
    np.testing.assert_allclose(upsample_by_sums(tf.constant(images), kernel), expected, atol=1e-4)
    np.testing.assert_allclose(upsample_by_sums(tf.constant(images), kernel, bias=bias), expected + bias, atol=1e-4)


def test_an_image_gives_the_same_bits_in_every_batch() -> None:
    images, kernel = tf.constant(numbers(16, 8, 8, 1088)), numbers(3, 3, 256, 1088)
    upsample = tf.function(lambda batch: upsample_by_sums(batch, kernel))
    whole = upsample(images)
    for count in (1, 2, 5, 8):
        np.testing.assert_array_equal(upsample(images[:count]), whole[:count])
