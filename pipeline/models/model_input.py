"""What a model takes: its size, its channels, and how values of 0..255 must be scaled for it."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.models.keras_model import LoadedModel, TensorSpec
from pipeline.models.model_facts import ModelFacts
from pipeline.options import ModelOptions
from transforms.errors import RunError
from transforms.normalize import Normalization, parse_normalization

# As many channels as pictures have; more tells that an axis is a side of the image.
USUAL_CHANNELS = (1, 3, 4)


@dataclass(frozen=True)
class InputFacts:
    """The planes that a model takes; None for a side that is free, and for a batch of any size."""

    height: int | None
    width: int | None
    channels: int
    channels_first: bool
    batch: int | None = None


def find_input(loaded: LoadedModel) -> tuple[InputFacts, str]:
    """What the model's one input takes, with a line of evidence.

    Raises:
        RunError: It has several inputs, or one that is no batch of images.
    """
    check_inputs(loaded.inputs)
    spec = loaded.inputs[0]
    if len(spec.shape) != 4:
        raise RunError(f"The model's input {spec.name} is {_shown(spec.shape)}, not a batch of images of 4 axes.")
    first = _is_channels_first(spec.shape, loaded.data_format)
    sides, channels = (spec.shape[2:], spec.shape[1]) if first else (spec.shape[1:3], spec.shape[3])
    if channels is None:
        raise RunError(f"The model's input {spec.name} is {_shown(spec.shape)}: its number of channels is not set.")
    order = "channels first" if first else "channels last"
    facts = InputFacts(sides[0], sides[1], channels, first, spec.shape[0])
    return facts, f"input {spec.name}: {spec.dtype} {_shown(spec.shape)}, {order}"


def check_inputs(inputs: Sequence[TensorSpec]) -> None:
    """Makes sure that a model takes pixels, and nothing beside them.

    Raises:
        RunError: It has several inputs, or takes files as they are.
    """
    if len(inputs) != 1:
        listed = ", ".join(f"{spec.name} {_shown(spec.shape)}" for spec in inputs)
        raise RunError(
            f"The model has {len(inputs)} inputs, but images can feed only one: {listed}. Make a model of one input, "
            "in which the others are constants: keras.Model(image, model([image, keras.ops.zeros_like(image)])), say."
        )
    if inputs[0].dtype == "string":
        raise RunError(
            f"The model's input {inputs[0].name} takes encoded files (strings), but maskbeam decodes images itself: "
            "export the model with a signature that takes pixels, [N, H, W, C] of float32 or uint8."
        )


def _shown(shape: tuple[int | None, ...]) -> str:
    return f"[{', '.join('?' if side is None else str(side) for side in shape)}]"


def _is_channels_first(shape: tuple[int | None, ...], data_format: str | None) -> bool:
    usual = [shape[axis] in USUAL_CHANNELS for axis in (1, 3)]
    return usual[0] if usual[0] != usual[1] else data_format == "channels_first"


def find_normalization(loaded: LoadedModel | ModelFacts, options: ModelOptions) -> tuple[Normalization, str]:
    """How pixels are scaled for the model, with a line of evidence.

    Raises:
        RunError: As of `check_inputs`; or the model does not scale by itself and `--normalize` was not given.
    """
    check_inputs(loaded.inputs)
    inside = ", ".join(loaded.preprocessing)
    if options.normalize is not None:
        besides = f", besides the model's own {inside}" if loaded.scales_input else ""
        return parse_normalization(options.normalize), f"scaling {options.normalize}: as --normalize says{besides}"
    if loaded.scales_input:
        return parse_normalization("none"), f"scaling none: the model has its own, {inside}"
    if "int" in loaded.inputs[0].dtype:
        return parse_normalization("none"), f"scaling none: the model takes {loaded.inputs[0].dtype}"
    raise RunError(
        "The model does not scale its input, so say what it was trained with: --normalize 0..1, -1..1, imagenet, "
        "caffe, none, or a mean and a deviation for each channel, such as 120,115,104/58,57,57. "
        "`maskbeam inspect` shows which is right."
    )
