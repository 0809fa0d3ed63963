"""Finds out where the classes are in a model's output: by which of its axes have the input plane's proportions."""

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

import numpy as np

from maskbeam.transforms.elements import Array
from maskbeam.transforms.errors import RunError
from maskbeam.transforms.head import flat_grid

# A larger factor than any known network shrinks its input by; keeps chance matches out.
LARGEST_FACTOR = 64
_CLASS_AXES = {"channels_last": -1, "channels_first": 1, "flat": -1, "flat_first": 1}

Shape = tuple[int, ...]


class Layout(NamedTuple):
    """Where the classes are in an output, and why."""

    name: str
    channels: int
    grid: tuple[int, int] | None
    why: str


def find_layout(values: Array, height: int, width: int, data_format: str | None, asked: str | None) -> Layout:
    """Where the classes are in an output for planes of `height` x `width`.

    Args:
        values: The output, the batch first.
        height: Of the planes.
        width: Of the planes.
        data_format: `channels_last` or `channels_first` where the model's layers say so, else None.
        asked: What `--layout` says: which axes are which, but not that a map goes with planes that it does not cover.

    Raises:
        RunError: The output is no map of the planes, or could be one in two ways.
    """
    shape = values.shape
    if asked is not None:
        return _asked_layout(shape, height, width, asked)
    found = candidates(shape, height, width, exactly=True) or candidates(shape, height, width, exactly=False)
    if not found:
        raise RunError(
            f"The model's output {list(shape)} for an input of {height} x {width} pixels is no map of classes: "
            f"{why_no_map(shape, height, width, sized=True)}."
        )
    if _is_joined(shape, height, width) and (height, width) not in [layout.grid for layout in found]:
        names = " or ".join(f"--layout {layout.name}" for layout in found)
        raise RunError(
            f"The model's output {list(shape)} for an input of {height} x {width} pixels could be flat, or hold the "
            f"scores of a row beside each other: say {names}, or end the model in "
            f"Reshape({_reshaped(shape, height, width)})."
        )
    return found[0] if len(found) == 1 else _between(found, values, data_format)


def candidates(shape: Shape, height: int, width: int, *, exactly: bool) -> list[Layout]:
    """All ways to take an output for a map of the planes; `exactly` without rounding."""
    size = f"the input's {height} x {width}"
    if len(shape) == 4:
        pairs = (("channels_last", shape[1:3], shape[3]), ("channels_first", shape[2:4], shape[1]))
        return [
            Layout(name, channels, None, f"{h} x {w} goes with {size}")
            for name, (h, w), channels in pairs
            if _fits(h, w, height, width, exactly=exactly)
        ]
    if len(shape) == 3 and _fits(shape[1], shape[2], height, width, exactly=exactly):
        # Taken before flat: a flat map with as many classes as the map is wide is not a thing that people make.
        return [Layout("channels_last", 1, None, f"{shape[1]} x {shape[2]} goes with {size}, one channel")]
    if len(shape) == 2 and shape[1] == height * width:
        return [Layout("flat", 1, (height, width), f"{shape[1]} is {height} x {width}, one channel")]
    return _flat_candidates(shape, height, width) if len(shape) == 3 else []


def _flat_candidates(shape: Shape, height: int, width: int) -> list[Layout]:
    found = []
    for name, pixels, channels in (("flat", shape[1], shape[2]), ("flat_first", shape[2], shape[1])):
        grid = flat_grid(pixels, height, width)
        if grid is not None and max(height // grid[0], width // grid[1]) <= LARGEST_FACTOR:
            why = f"{pixels} is {grid[0]} x {grid[1]}, which goes with the input's {height} x {width}"
            found.append(Layout(name, channels, grid, why))
    # A map has more pixels than classes, where either axis could be its pixels.
    fewest = min((layout.channels for layout in found), default=0)
    return [layout for layout in found if layout.channels == fewest]


def _fits(h: int, w: int, height: int, width: int, *, exactly: bool) -> bool:
    """True if a map of h x w is the input's plane shrunk (rounded either way) or enlarged by one whole factor."""
    for factor in range(1, LARGEST_FACTOR + 1):
        if (exactly and (h * factor, w * factor) == (height, width)) or (h, w) == (height * factor, width * factor):
            return True
        rounded = all(small in (large // factor, -(-large // factor)) for small, large in ((h, height), (w, width)))
        if rounded and not exactly and min(h, w) > 0:
            return True
    return False


def _is_uneven(h: int, w: int, height: int, width: int) -> bool:
    """True if a map is shrunk by a whole factor for each axis, which `--layout` allows."""
    return min(h, w) > 0 and height % h == 0 and width % w == 0


def _is_joined(shape: Shape, height: int, width: int) -> bool:
    """True if an output has the shape of `[N, H, W * C]`, where that is another one than `[N, H, W]`."""
    return len(shape) == 3 and shape[1] == height and shape[2] % width == 0 and shape[2] > width


def _between(found: Sequence[Layout], values: Array, data_format: str | None) -> Layout:
    """Decides when both orders of axes have the input's proportions, so that C equals h or w."""
    summing = [layout for layout in found if sums_to_one(values, _CLASS_AXES[layout.name])]
    if len(summing) == 1:
        return summing[0]._replace(why="of the axes that fit, only these leave probabilities that sum to 1")
    for layout in found:
        if layout.name == data_format:
            return layout._replace(why=f"the axes fit both ways, and the model's layers are {data_format}")
    names = [layout.name for layout in found]
    raise RunError(
        f"The model's output {list(values.shape)} could be channels last or channels first: say which with "
        f"--layout {' or --layout '.join(names)}."
    )


def _asked_layout(shape: Shape, height: int, width: int, asked: str) -> Layout:
    why = "as --layout says"
    if asked.startswith("flat") and len(shape) in (2, 3):
        pixels, *channels = shape[:0:-1] if asked == "flat_first" else shape[1:]
        grid = flat_grid(pixels, height, width)
        if grid is not None:
            return Layout(asked, channels[0] if channels else 1, grid, why)
    if not asked.startswith("flat") and len(shape) in (3, 4):
        first = asked == "channels_first" and len(shape) == 4
        h, w, *channels = (*shape[2:], shape[1]) if first else shape[1:]
        uneven = _is_uneven(h, w, height, width) and not _permuted(shape, height, width)
        if uneven or _fits(h, w, height, width, exactly=False):
            return Layout(asked, channels[0] if channels else 1, None, why)
    raise RunError(
        f"--layout {asked} does not go with the model's output {list(shape)} for an input of {height} x {width}: "
        f"{why_no_map(shape, height, width, sized=False)}."
    )


def why_no_map(shape: Shape, height: int, width: int, *, sized: bool) -> str:
    """The reason why an output is no map of its input, and what helps; `sized`: the input's size is not free."""
    if border := _border(shape, height, width):
        h, w, each = border
        return (
            f"{h} x {w} is the input less {each} pixels at each side, as convolutions without padding leave it "
            "(padding='valid'), and a map must cover its input. Pad inside the model: keras.Sequential([keras.Input("
            f"(HEIGHT, WIDTH, CHANNELS)), keras.layers.ZeroPadding2D({each}), model]), which takes {h} x {w}"
        )
    if reshaped := _reshaped(shape, height, width):
        return f"its axes are joined. End the model in Reshape({reshaped})"
    if order := _permuted(shape, height, width):
        return f"its axes are in another order than rows, columns and classes. End the model in Permute({order})"
    uneven = [name for name, h, w in _planes(shape) if sized and _is_uneven(h, w, height, width)]
    if uneven:
        return f"its axes are shrunk by different factors. If they are rows and columns, say --layout {uneven[0]}"
    return (
        "no pair of its axes is a whole part or multiple of the input's size, and a map must cover its input. Pad or "
        "resize inside the model"
    )


def _planes(shape: Shape) -> list[tuple[str, int, int]]:
    """The rows and columns that an output of three or four axes may have; none for others."""
    if len(shape) not in (3, 4):
        return []
    planes = [("channels_last", shape[1], shape[2]), ("channels_first", shape[-2], shape[-1])]
    return planes[: len(shape) - 2]


def _border(shape: Shape, height: int, width: int) -> tuple[int, int, int] | None:
    """(h, w, pixels) of a map that lacks the same number of pixels at each side of its input; None for others."""
    for _, h, w in _planes(shape):
        lacking = height - h
        # More than half of the input is no border.
        if lacking == width - w and lacking % 2 == 0 and 0 < lacking < min(h, w):
            return h, w, lacking // 2
    return None


def _permuted(shape: Shape, height: int, width: int) -> tuple[int, ...] | None:
    """The axes for a `Permute` where rows and columns are apart, or exchanged; None elsewhere."""
    if len(shape) != 4:
        return None
    orders = ((1, 3, 2), (2, 1, 3), (3, 1, 2), (3, 2, 1))
    fitting = (o for o in orders if _fits(shape[o[0]], shape[o[1]], height, width, exactly=True))
    return next(fitting, None)


def _reshaped(shape: Shape, height: int, width: int) -> str:
    """The shape for a `Reshape` where pixels and classes share axes; "" where they do not."""
    sides = [side for side in shape[1:] if side > 1]
    channels = prod(sides) // (height * width)
    if sides in ([height * width * channels], [height, width * channels], [height * width, channels]):
        return f"({height}, {width}, {channels})"
    return f"({channels}, {height}, {width})" if sides == [channels, height * width] else ""


def sums_to_one(values: Array, axis: int) -> bool:
    """True if values are shares, as a softmax along the axis leaves them."""
    if not is_floating(values) or not within_unit(values):
        return False
    tolerance = 1e-2 if values.dtype.itemsize <= 2 else 1e-3
    return bool(np.abs(values.sum(axis=axis, dtype=np.float64) - 1).max() < tolerance)


def is_floating(values: Array) -> bool:
    """True if values are of a floating type; numpy does not count TensorFlow's bfloat16 and float8 among them."""
    return "float" in values.dtype.name


def within_unit(values: Array) -> bool:
    """True if values lie within 0..1."""
    return bool(values.min() >= 0 and values.max() <= 1 + 1e-3)


def is_map(shape: Shape, height: int, width: int) -> bool:
    """True if an output of this shape is a map of classes that an input of height x width shrinks to exactly."""
    return bool(candidates(shape, height, width, exactly=True))
