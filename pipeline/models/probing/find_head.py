"""Finds out what a model's output means, from its shape, its last operation and its values on a probe batch.

What cannot be told for certain is refused, with the flag that says it; nothing is guessed silently.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from maskbeam.pipeline.models.probing.find_layout import find_layout, is_floating, sums_to_one, within_unit
from maskbeam.pipeline.options import ModelOptions
from maskbeam.transforms.elements import Array
from maskbeam.transforms.errors import RunError
from maskbeam.transforms.head import BINARY, Head, canonical, make_head

# Functions with values of -1..1: neither probabilities nor logits.
_BOUNDED = ("tanh", "softsign", "hard_tanh", "hardtanh")
# Of one channel the first is always 1, and its logarithm 0.
_OVER_CLASSES = ("softmax", "log_softmax", "logsoftmax")


@dataclass(frozen=True, eq=False)
class Output:
    """One output of a model as the probe batch showed it: its values, and the function that it ends in, if known."""

    name: str
    values: Array
    activation: str | None = None


def find_head(
    outputs: Sequence[Output],
    *,
    height: int,
    width: int,
    data_format: str | None,
    options: ModelOptions,
    batch: int | None = None,
) -> tuple[Head, tuple[str, ...]]:
    """How to read a model's output.

    Args:
        outputs: What the model gave for a probe batch of input planes of `height` x `width` pixels.
        height: Of the probe's planes.
        width: Of the probe's planes.
        data_format: `channels_last` or `channels_first` where the model's layers say so, else None.
        options: `head`, `layout` and `output_name` override what would be found.
        batch: How many planes the model was given; None where that is not known.

    Returns:
        The head, and one line of evidence for each thing found.

    Raises:
        RunError: The output is ambiguous, no segmentation, or not finite.
    """
    output = choose_output(outputs, options.output_name)
    values = output.values
    _check_batch(values, batch, height, width)
    _check_finite(output)
    layout = find_layout(values, height, width, data_format, options.layout)
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


def _check_batch(values: Array, batch: int | None, height: int, width: int) -> None:
    if batch is not None and values.shape[:1] != (batch,):
        joined = values.ndim == 2 and len(values) == batch * height * width
        shape = f"(-1, {height}, {width}, {values.shape[1]})" if joined else f"(-1, {height}, {width}, CLASSES)"
        raise RunError(
            f"The model's output is {list(values.shape)} for a batch of {batch}, so its first axis is not the batch. "
            f"Give it the batch's own axis: keras.Model(model.inputs, keras.ops.reshape(model.output, {shape}))."
        )


def _check_finite(output: Output) -> None:
    bad = int(np.count_nonzero(~np.isfinite(output.values.astype(np.float64))))
    if bad:
        raise RunError(
            f"The model gave {bad} values that are NaN or infinite, of {output.values.size}, on the probe batch: "
            "its weights are damaged, or --normalize is not what it was trained with."
        )


def _range(values: Array) -> str:
    return f"{float(values.min()):.4g} to {float(values.max()):.4g}"


def find_kind(values: Array, activation: str | None, asked: str | None) -> tuple[str, str]:
    """The kind of canonical values `[N, h, w, C]`, and why."""
    if asked is not None:
        return asked, "as --head says"
    if not is_floating(values) or activation == "argmax":
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
    if activation in _OVER_CLASSES:
        always = 1 if activation == "softmax" else 0
        raise RunError(
            f"The model ends in a {activation} over one channel, which is always {always}: it cannot tell anything."
        )
    if activation == "sigmoid" and within_unit(values):
        return "sigmoid", "one channel that ends in a sigmoid"
    if np.array_equal(values, np.rint(values)) and values.min() >= 0 and values.max() > 1:
        return "ids", f"one channel that holds whole numbers only: {_some(np.unique(values).astype(int))}"
    if activation in _BOUNDED:
        raise RunError(
            f"The model's one channel has values of {_range(values)} and ends in {activation}: they are neither "
            "probabilities nor logits. Add keras.layers.Rescaling(0.5, 0.5) behind it and say --head sigmoid. As it "
            "is, --head sigmoid_logits gives the same labels, but a confidence of 0.73 to a pixel that is certain."
        )
    if within_unit(values):
        raise RunError(
            f"The model's one channel has values of {_range(values)} and ends in {_ending(activation, 'sigmoid')}: "
            f"they may be probabilities or logits. Say which with --head {' or --head '.join(BINARY)}, or --head ids "
            "if they are class ids."
        )
    if activation == "linear" or values.min() < 0 < values.max():
        return "sigmoid_logits", "one channel with values outside 0..1, so the sigmoid is still to be applied"
    raise RunError(
        f"The model's one channel has values of {_range(values)} and ends in {_ending(activation, 'linear layer')}: "
        "as logits, which have both signs, they would give one class to every pixel. If they are logits, say --head "
        "sigmoid_logits; if they are probabilities on another scale, bring them to 0..1 with a "
        "keras.layers.Rescaling behind the model, and say --head sigmoid."
    )


def _ending(activation: str | None, wanted: str) -> str:
    return "an operation that cannot be told" if activation is None else f"{activation}, not a {wanted}"


def _class_kind(values: Array, activation: str | None) -> tuple[str, str]:
    channels = values.shape[-1]
    if sums_to_one(values, -1):
        ending = " and it ends in a softmax" if activation == "softmax" else ""
        return "probabilities", f"the {channels} channels of each pixel sum to 1{ending}"
    if not within_unit(values):
        _check_logits(values, activation)
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


def _check_logits(values: Array, activation: str | None) -> None:
    """Refuses scores of several classes that are on another scale than logits are, as far as that can be seen.

    Raises:
        RunError: They are. The largest may win all the same, so that the user can say so.
    """
    if activation in _BOUNDED or (activation is None and values.min() >= 0):
        raise RunError(
            f"The model's {values.shape[-1]} channels have values of {_range(values)} and it ends in "
            f"{activation or 'an operation that cannot be told'}: they do not look like logits. If the largest wins, "
            "say --head logits; confidence is then no probability. If they are probabilities on another scale, bring "
            "them to 0..1 with a keras.layers.Rescaling behind the model, and say --head probabilities or --head "
            "multilabel."
        )
