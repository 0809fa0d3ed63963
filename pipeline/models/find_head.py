"""Finds out what a model's output means, from its shape, its last operation and its values on a probe batch.

What cannot be told for certain is refused, with the flag that says it; nothing is guessed silently.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pipeline.options import ModelOptions
from transforms.elements import Array
from transforms.errors import RunError
from transforms.head import BINARY, Head, canonical, flat_grid, make_head

# A larger factor than any known network shrinks its input by; keeps chance matches out.
LARGEST_FACTOR = 64


@dataclass(frozen=True, eq=False)
class Output:
    """One output of a model as the probe batch showed it: its values, and the function that it ends in, if known."""

    name: str
    values: Array
    activation: str | None = None


class Layout(NamedTuple):
    """Where the classes are in an output, and why."""

    name: str
    channels: int
    grid: tuple[int, int] | None
    why: str


def find_head(
    outputs: Sequence[Output], *, height: int, width: int, data_format: str | None, options: ModelOptions
) -> tuple[Head, tuple[str, ...]]:
    """How to read a model's output.

    Args:
        outputs: What the model gave for a probe batch of input planes of `height` x `width` pixels.
        height: Of the probe's planes.
        width: Of the probe's planes.
        data_format: `channels_last` or `channels_first` where the model's layers say so, else None.
        options: `head`, `layout` and `output_name` override what would be found.

    Returns:
        The head, and one line of evidence for each thing found.

    Raises:
        RunError: The output is ambiguous, no segmentation, or not finite.
    """
    output = choose_output(outputs, options.output_name)
    values = output.values
    _check_finite(output)
    layout = find_layout(output, height, width, data_format, options.layout)
    shaped = make_head("multilabel", layout.name, layout.channels, grid=layout.grid)
    kind, why = find_kind(canonical(values, shaped), output.activation, options.head)
    name = output.name if len(outputs) > 1 else None
    head = make_head(kind, layout.name, layout.channels, grid=layout.grid, output_name=name)
    seen = f"output {output.name}: {values.dtype} {list(values.shape)}, values {_range(values)}"
    return head, (seen, f"layout {layout.name}: {layout.why}", f"head {kind}: {why}")


def choose_output(outputs: Sequence[Output], name: str | None) -> Output:
    """The output called `name`, or the only one there is."""
    listed = ", ".join(f"{output.name} {list(output.values.shape)}" for output in outputs)
    if name is None:
        if len(outputs) > 1:
            raise RunError(f"The model has {len(outputs)} outputs; choose one with --output_name: {listed}.")
        return outputs[0]
    found = [output for output in outputs if output.name == name]
    if not found:
        raise RunError(f"--output_name {name}: the model has no such output, only {listed}.")
    return found[0]


def _check_finite(output: Output) -> None:
    bad = int(np.count_nonzero(~np.isfinite(output.values.astype(np.float64))))
    if bad:
        raise RunError(
            f"The model gave {bad} values that are NaN or infinite, of {output.values.size}, on the probe batch: "
            "its weights are damaged, or --normalize is not what it was trained with."
        )


def _range(values: Array) -> str:
    return f"{values.min():.4g} to {values.max():.4g}"


def find_layout(output: Output, height: int, width: int, data_format: str | None, asked: str | None) -> Layout:
    """Where the classes are, told by which axes have the proportions of the input plane."""
    shape = output.values.shape
    if asked is not None:
        return _asked_layout(shape, height, width, asked)
    found = _candidates(shape, height, width, exactly=True) or _candidates(shape, height, width, exactly=False)
    if not found:
        raise RunError(
            f"The model's output {list(shape)} for an input of {height} x {width} pixels is no map of classes: no "
            "pair of its axes is a whole part or multiple of the input's size. If it is one, say how with --layout."
        )
    return found[0] if len(found) == 1 else _between(found, output, data_format)


def _candidates(shape: tuple[int, ...], height: int, width: int, *, exactly: bool) -> list[Layout]:
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
    grid = flat_grid(shape[1], height, width) if len(shape) == 3 else None
    if grid is None or max(height // grid[0], width // grid[1]) > LARGEST_FACTOR:
        return []
    return [Layout("flat", shape[2], grid, f"{shape[1]} is {grid[0]} x {grid[1]}, which goes with {size}")]


def _fits(h: int, w: int, height: int, width: int, *, exactly: bool) -> bool:
    """Whether a map of h x w is the input's plane shrunk (rounded either way) or enlarged by one whole factor."""
    for factor in range(1, LARGEST_FACTOR + 1):
        if (exactly and (h * factor, w * factor) == (height, width)) or (h, w) == (height * factor, width * factor):
            return True
        rounded = all(small in (large // factor, -(-large // factor)) for small, large in ((h, height), (w, width)))
        if rounded and not exactly and min(h, w) > 0:
            return True
    return False


def _between(found: Sequence[Layout], output: Output, data_format: str | None) -> Layout:
    """Decides when both orders of axes have the input's proportions, so that C equals h or w."""
    axes = {"channels_last": -1, "channels_first": 1}
    summing = [layout for layout in found if _sums_to_one(output.values, axes[layout.name])]
    if len(summing) == 1:
        return summing[0]._replace(why="of the axes that fit, only these leave probabilities that sum to 1")
    for layout in found:
        if layout.name == data_format:
            return layout._replace(why=f"the axes fit both ways, and the model's layers are {data_format}")
    raise RunError(
        f"The model's output {list(output.values.shape)} could be channels last or channels first: say which with "
        "--layout channels_last or --layout channels_first."
    )


def _asked_layout(shape: tuple[int, ...], height: int, width: int, asked: str) -> Layout:
    why = "as --layout says"
    if asked == "flat" and len(shape) in (2, 3):
        grid = flat_grid(shape[1], height, width)
        if grid is not None:
            return Layout(asked, shape[2] if len(shape) == 3 else 1, grid, why)
    if asked != "flat" and len(shape) == 3:
        return Layout(asked, 1, None, why)
    if asked != "flat" and len(shape) == 4:
        return Layout(asked, shape[-1 if asked == "channels_last" else 1], None, why)
    raise RunError(
        f"--layout {asked} does not go with the model's output {list(shape)} for an input of {height} x {width}."
    )


def _sums_to_one(values: Array, axis: int) -> bool:
    if not np.issubdtype(values.dtype, np.floating) or not _within_unit(values):
        return False
    tolerance = 1e-2 if values.dtype.itemsize == 2 else 1e-3
    return bool(np.abs(values.sum(axis=axis, dtype=np.float64) - 1).max() < tolerance)


def _within_unit(values: Array) -> bool:
    return bool(values.min() >= 0 and values.max() <= 1 + 1e-3)


def find_kind(values: Array, activation: str | None, asked: str | None) -> tuple[str, str]:
    """What canonical values `[N, h, w, C]` are, and why."""
    if asked is not None:
        return asked, "as --head says"
    if not np.issubdtype(values.dtype, np.floating) or activation == "argmax":
        return _integer_kind(values, activation)
    return _binary_kind(values, activation) if values.shape[-1] == 1 else _class_kind(values, activation)


def _integer_kind(values: Array, activation: str | None) -> tuple[str, str]:
    channels = values.shape[-1]
    if channels == 1:
        found = np.unique(values).astype(int)
        return "ids", f"{'an argmax' if activation == 'argmax' else f'values are {values.dtype}'}, ids {_some(found)}"
    raise RunError(
        f"The model's output has {channels} channels of {values.dtype}: say what they are with --head, such as "
        "--head logits for quantised logits or --head multilabel for masks of independent classes."
    )


def _some(ids: Array) -> str:
    return ", ".join(map(str, ids[:8])) + (", ..." if len(ids) > 8 else "")


def _binary_kind(values: Array, activation: str | None) -> tuple[str, str]:
    if activation == "softmax":
        raise RunError("The model ends in a softmax over one channel, which is always 1: it cannot tell anything.")
    if activation == "sigmoid" and _within_unit(values):
        return "sigmoid", "one channel that ends in a sigmoid"
    if np.array_equal(values, np.rint(values)) and values.min() >= 0 and values.max() > 1:
        return "ids", f"one channel that holds whole numbers only: {_some(np.unique(values).astype(int))}"
    if not _within_unit(values):
        return "sigmoid_logits", "one channel with values outside 0..1, so the sigmoid is still to be applied"
    ending = "an operation that cannot be told" if activation is None else f"{activation}, not a sigmoid"
    raise RunError(
        f"The model's one channel has values of {_range(values)} and ends in {ending}: they may be probabilities or "
        f"logits. Say which with --head {' or --head '.join(BINARY)}, or --head ids if they are class ids."
    )


def _class_kind(values: Array, activation: str | None) -> tuple[str, str]:
    channels = values.shape[-1]
    if _sums_to_one(values, -1):
        ending = " and it ends in a softmax" if activation == "softmax" else ""
        return "probabilities", f"the {channels} channels of each pixel sum to 1{ending}"
    if not _within_unit(values):
        why = "values lie outside 0..1, so the softmax is still to be applied"
        return "logits", f"{why}; --head multilabel_logits if classes are independent"
    if activation == "sigmoid":
        why = "each channel ends in its own sigmoid, so classes do not exclude each other"
        return "multilabel", f"{why}; --head probabilities if they do"
    if activation == "linear":
        return "logits", "it ends in a linear layer; --head multilabel_logits if classes are independent"
    raise RunError(
        f"The model's {channels} channels have values of {_range(values)} that do not sum to 1, and it ends in "
        f"{activation or 'an operation that cannot be told'}. Say what they are with --head logits, --head "
        "probabilities or --head multilabel, or where the classes are with --layout."
    )


def is_map(shape: tuple[int, ...], height: int, width: int) -> bool:
    """Whether an output of this shape is a map of classes that an input of height x width shrinks to exactly."""
    return bool(_candidates(shape, height, width, exactly=True))
