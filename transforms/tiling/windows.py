"""The windows of one axis of an image: where they begin, and which pixels are whose. They depend on nothing else."""

from functools import lru_cache
from itertools import pairwise


def stride_of(window: int, overlap: float) -> int:
    """Pixels from one window to the next, at least 1: the window less its overlap, cut to whole pixels.

    As in MONAI's `sliding_window_inference`, so that both cut an image alike.
    """
    return max(1, int(window * (1 - overlap)))


@lru_cache(maxsize=256)
def starts(size: int, window: int, stride: int) -> tuple[int, ...]:
    """The first pixel of each window: 0, stride, 2 stride ...; the last one is moved back to end where the axis ends.

    Args:
        size: Pixels of the axis.
        window: Pixels of a window; an axis that is shorter has one window, which reaches beyond its end.
        stride: Pixels from one window to the next.
    """
    last = max(0, size - window)
    return (*range(0, last, stride), last)


@lru_cache(maxsize=256)
def borders(size: int, window: int, stride: int) -> tuple[int, ...]:
    """The pixels where it is another window whose centre is nearest: window `i` has `[borders[i], borders[i + 1])`.

    Of two centres that are equally near, the first one has the pixel.
    """
    firsts = starts(size, window, stride)
    # Pixel x has its centre at x + 0.5, and windows from a and b are equally near at (a + b + window) / 2.
    between = ((one + other + window + 1) // 2 for one, other in pairwise(firsts))
    return (0, *between, size)
