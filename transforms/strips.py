"""Large arrays, some rows at a time: what is made on the way to a result is small, and stays in a core's cache."""

from collections.abc import Iterator

# Pixels of a strip: a photo is one.
_PIXELS = 1 << 18


def in_strips(shape: tuple[int, ...]) -> Iterator[slice]:
    """Slices of rows that together are an array `[H, W, ...]`."""
    step = max(1, _PIXELS // max(1, shape[1]))
    for top in range(0, shape[0], step):
        yield slice(top, top + step)
