"""Finds the stride of a model of free size: the number whose multiples are the image sizes that it takes."""

from collections.abc import Callable

from maskbeam.transforms.errors import RunError

# Halvings first, as nearly all networks have; then those with a pooling by three, and patches of 7 or 14 pixels.
STRIDES = (1, 2, 4, 8, 16, 32, 64, 128, 3, 6, 12, 24, 48, 96, 7, 14, 28)
# Below this size a deep network may fail for being left without pixels, whatever its stride.
SMALLEST_TRIED = 64


def find_stride(misfit: Callable[[int, int], str]) -> int:
    """The first of `STRIDES` at which the model works.

    Args:
        misfit: Runs the model on a plane of (height, width) pixels and says why it gives no map that is a whole part
            or multiple of the plane; "" when it does.

    Raises:
        RunError: The model works at none. The message has the reason at the stride that most others divide.
    """
    reasons = {}
    for stride in STRIDES:
        reasons[stride] = misfit(*size_to_try(stride))
        if not reasons[stride]:
            return stride
    largest = max(STRIDES)
    height, width = size_to_try(largest)
    raise RunError(
        f"The model's input size is free, but it takes no image whose sides are multiples of up to {largest} pixels, "
        f"or gives no map of its size. At {height} x {width}: {reasons[largest]}"
    )


def size_to_try(stride: int) -> tuple[int, int]:
    """Two different odd multiples of the stride, so that twice the stride divides neither."""
    times = -(-SMALLEST_TRIED // stride) | 1
    return stride * times, stride * (times + 2)
