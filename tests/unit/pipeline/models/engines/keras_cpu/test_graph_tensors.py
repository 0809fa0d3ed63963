"""What a graph tells of its tensors is true."""

from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from maskbeam.pipeline.models.engines.keras_cpu.graph_tensors import joined, without_same_padding
from maskbeam.transforms.elements import Array

ONCE = {"kernel": (3, 3), "stride": (1, 1), "dilation": (1, 1)}
TWICE = ONCE | {"stride": (2, 2)}


def seen(look: Callable[..., Any], *shapes: tuple[int | None, ...]) -> Any:
    """What `look` returns of tensors of these shapes in a graph."""
    found = []
    tf.function(lambda *tensors: found.append(look(*tensors)), autograph=False).get_concrete_function(
        *(tf.TensorSpec(shape) for shape in shapes)
    )
    return found[0]


def numbers(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def test_channels_side_by_side_are_the_tensors_that_were_joined() -> None:
    wide, narrow = (None, 4, 4, 7), (None, 4, 4, 2)

    def are_parts(axis: int) -> Callable[..., bool]:
        return lambda *parts: list(map(id, joined(tf.concat(parts, axis)))) == list(map(id, parts))

    assert seen(are_parts(-1), wide, narrow)
    assert seen(are_parts(3), wide, narrow)


@pytest.mark.parametrize(
    ("make", "shapes"),
    [
        (lambda one, other: one + other, [(None, 4, 4, 7)] * 2),
        (lambda one, other: tf.concat([one, other], 2), [(None, 4, 4, 7)] * 2),
        (lambda one, other: tf.concat([one, other], -1), [(None, 4, 4, 7), (None, 4, 4, None)]),
        (lambda one, other: tf.concat([one, other], -1), [(None, 4, 7)] * 2),
    ],
)
def test_anything_else_is_itself(make: Callable[..., Any], shapes: list[tuple[int | None, ...]]) -> None:
    def is_itself(*tensors: tf.Tensor) -> bool:
        images = make(*tensors)
        parts = joined(images)
        return len(parts) == 1 and parts[0] is images

    assert seen(is_itself, *shapes)


def test_an_eager_tensor_tells_nothing() -> None:
    images = tf.concat([numbers(1, 2, 2, 3)] * 2, axis=-1)
    assert joined(images) == [images]
    assert without_same_padding(tf.pad(images, [[0, 0], [1, 1], [1, 1], [0, 0]]), **ONCE) is None


@pytest.mark.parametrize("size", [4, 5, 9])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4])
@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (3, 1), (1, 2)])
def test_zeros_are_found_for_one_amount_which_gives_the_same(
    size: int, kernel: int, stride: int, dilation: int
) -> None:
    images, weights = numbers(1, size, 6, 2), numbers(kernel, 1, 2, 3)
    settings = {"kernel": (kernel, 1), "stride": (stride, stride), "dilation": (dilation, 1)}
    convolve = partial(tf.nn.conv2d, filters=weights, strides=stride, dilations=(dilation, 1))
    found = []
    for before, after in product(range(4), repeat=2):
        around = [[0, 0], [before, after], [0, 0], [0, 0]]

        def finds(tensor: tf.Tensor, around: Any = around) -> bool:
            return without_same_padding(tf.pad(tensor, around), **settings) is tensor

        if seen(finds, images.shape):
            found.append((before, after))
            valid = convolve(tf.pad(images, around), padding="VALID")
            np.testing.assert_allclose(valid, convolve(images, padding="SAME"), atol=1e-5)
    assert len(found) == 1


@pytest.mark.parametrize(
    ("shape", "amounts", "settings"),
    [
        ((None, 64, 64, 3), ((0, 0), (0, 1), (0, 1), (0, 0)), TWICE),
        ((None, 65, 64, 3), ((0, 0), (1, 1), (0, 1), (0, 0)), TWICE),
        ((None, None, None, 3), ((0, 0), (1, 1), (1, 1), (0, 0)), ONCE),
    ],
)
def test_zeros_of_a_convolution(shape: tuple[int | None, ...], amounts: Any, settings: Any) -> None:
    assert seen(lambda images: without_same_padding(tf.pad(images, amounts), **settings) is images, shape)


@pytest.mark.parametrize(
    ("shape", "amounts", "how"),
    [
        ((None, 64, 64, 3), ((0, 0), (1, 1), (1, 1), (0, 0)), {}),
        ((None, 64, 64, 3), ((0, 0), (0, 1), (0, 1), (0, 0)), {"constant_values": 1}),
        ((None, 64, 64, 3), ((0, 0), (0, 1), (0, 1), (0, 0)), {"mode": "REFLECT"}),
        ((None, 64, 64, 3), ((0, 0), (0, 1), (0, 1), (0, 1)), {}),
        ((None, 64, 64, 3), ((1, 0), (0, 1), (0, 1), (0, 0)), {}),
        ((None, None, 64, 3), ((0, 0), (0, 1), (0, 1), (0, 0)), {}),
    ],
)
def test_other_padding(shape: tuple[int | None, ...], amounts: Any, how: dict[str, Any]) -> None:
    assert seen(lambda images: without_same_padding(tf.pad(images, amounts, **how), **TWICE) is None, shape)
