"""The values that a model's first layers make of pixels of 0..255, computed from the layers' constants.

A model that prepares its own input was not always trained on 0..255: what it makes of them tells.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from maskbeam.pipeline.models.files.model_graph import Layer
from maskbeam.transforms.normalize import NAMED, Normalization, normalize, parse_normalization

Span = tuple[float, float]
Numbers = tuple[float, ...]
# Values that networks take lie within this and are not all equal. The widest usual inputs are 0..255 and caffe's
# -124..151. Values of 0..1 deviate by at most 0.5, so a model that was standardised on them makes 510 or more of
# 0..255; one that divides by what 10 bits or more hold leaves a quarter or less.
LARGEST = 300.0
NARROWEST = 0.5
# Less than this is added to values of 0..1 or -1..1, as in x - 0.5: it centres no bytes, which stay above `BYTES`.
UNIT_OFFSET, BYTES = 2.0, 100.0
# Values that are made of 0..1 by what centres or standardises them lie within this.
LARGEST_OF_UNIT = 3.0
# How pixels may have been scaled before the model saw them; the last ones are those of 10, 12, 14 and 16 bits.
_USUAL = ("0..1", "-1..1", *(f"0/{255 / (2**bits - 1):.9f}" for bits in (10, 12, 14, 16)))


@dataclass(frozen=True)
class Scaling:
    """`slope * x + offset`; each has one value, or one for each channel."""

    slope: Numbers = (1.0,)
    offset: Numbers = (0.0,)

    def span(self, before: Normalization = NAMED["none"]) -> Span:
        """The smallest and the largest value that it makes of pixels of 0..255, which `before` has scaled.

        Raises:
            RunError: `before` is for another number of channels.
        """
        channels = max(map(len, (self.slope, self.offset, before.mean)))
        ends = normalize(np.array([[0.0], [255.0]], np.float32).repeat(channels, axis=1), before)
        made = np.asarray(self.slope) * ends + np.asarray(self.offset)
        return float(made.min()), float(made.max())


def fits(span: Span) -> bool:
    """True if networks are usually trained on values of such a span, made of 0..255."""
    near, far = sorted(map(abs, span))
    if 1e-3 < near < UNIT_OFFSET and far > BYTES:
        return False
    return span[0] >= -LARGEST and span[1] <= LARGEST and span[1] - span[0] >= NARROWEST


def is_for_pixels(scaling: Scaling) -> bool:
    """True if a model's own scaling shows that it was trained on 0..255.

    One that leaves values about as they are, `2x - 1` and then `(x + 1) / 2` say, fits those of 0..1 as well.
    """
    return fits(scaling.span()) and not _is_for_unit(scaling.span(NAMED["0..1"]))


def _is_for_unit(span: Span) -> bool:
    return max(map(abs, span)) <= LARGEST_OF_UNIT and fits(span)


def likely_normalization(scaling: Scaling) -> str | None:
    """The first usual `--normalize` after which a model's own scaling makes values that networks take."""
    return next((name for name in _USUAL if fits(scaling.span(parse_normalization(name)))), None)


def find_scaling(chain: Sequence[Layer], values: Callable[[Layer], Any] = lambda _: None) -> Scaling | None:
    """The scaling that layers which follow each other make; None where that cannot be computed.

    Args:
        chain: From the input on, each fed by the one before.
        values: Gives the mean and the variance that a Normalization layer has learnt, or None.
    """
    slope, offset = np.ones(1), np.zeros(1)
    for before, layer in zip((None, *chain), chain, strict=False):
        step = _step(layer, values)
        if step is None or (before is not None and set(layer.inputs) != {before.key}):
            return None
        with np.errstate(all="ignore"):
            slope, offset = step[0] * slope, step[0] * offset + step[1]
    return Scaling(_plain(slope), _plain(offset)) if _is_usable(slope, offset) else None


def _step(layer: Layer, values: Callable[[Layer], Any]) -> tuple[Any, Any] | None:
    """Slope and offset of one layer."""
    if layer.operation == "rescaling":
        return _both(layer.config.get("scale"), layer.config.get("offset", 0.0))
    if layer.operation == "normalization":
        return _normalization(layer, values(layer))
    if layer.operation in ARITHMETIC:
        return _arithmetic(layer)
    return np.ones(1), np.zeros(1)


def _normalization(layer: Layer, learnt: Any) -> tuple[Any, Any] | None:
    mean, variance = learnt or (layer.config.get("mean"), layer.config.get("variance"))
    found = _both(mean, variance)
    if found is None or layer.config.get("invert"):
        return None
    deviation = np.maximum(np.sqrt(found[1]), 1e-7)  # as Keras does, whose epsilon it is
    return 1 / deviation, -found[0] / deviation


# Operations with one tensor and a constant: slope and offset, where the tensor comes first.
ARITHMETIC: dict[str, Callable[[Any], tuple[Any, Any]]] = {
    **dict.fromkeys(("truediv", "truedivide", "divide", "realdiv"), lambda c: (1 / c, 0 * c)),
    **dict.fromkeys(("multiply", "mul"), lambda c: (c, 0 * c)),
    **dict.fromkeys(("subtract", "sub"), lambda c: (c**0, -c)),
    **dict.fromkeys(("add", "addv2", "bias_add", "biasadd"), lambda c: (c**0, c)),
}
_COMMUTE = {"multiply", "mul", "add", "addv2"}


def _arithmetic(layer: Layer) -> tuple[Any, Any] | None:
    first, second = (  # of the operands those that are constants
        next((value for key in keys if (value := numbers(layer.arguments.get(key))) is not None), None)
        for keys in (("0", "x", "x1"), ("1", "y", "x2", "bias"))
    )
    if (first is None) == (second is None):
        return None
    if second is not None or layer.operation in _COMMUTE:
        with np.errstate(all="ignore"):
            return ARITHMETIC[layer.operation](first if second is None else second)
    return (-np.ones(1), first) if layer.operation in ("subtract", "sub") else None


def _both(first: Any, second: Any) -> tuple[Any, Any] | None:
    found = numbers(first), numbers(second)
    return None if found[0] is None or found[1] is None else (found[0], found[1])


def numbers(value: Any) -> Any:
    """A constant as float64 `[C]` or `[1]`, from a number, a list of them or what Keras writes for an array."""
    if value is None or isinstance(value, (str, bool)):
        return None
    if isinstance(value, dict) and isinstance(value.get("config"), dict):
        value = value["config"].get("value")
    try:
        found = np.asarray(value, np.float64).reshape(-1)
    except (TypeError, ValueError):
        return None
    return found if found.size else None


def _is_usable(slope: Any, offset: Any) -> bool:
    lengths = {*slope.shape, *offset.shape} - {1}
    return len(lengths) <= 1 and bool(np.isfinite(slope).all() and np.isfinite(offset).all())


def _plain(values: Any) -> Numbers:
    return tuple(map(float, values))
