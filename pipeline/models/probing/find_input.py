"""The input that a model takes: its size, its channels, and how values of 0..255 must be scaled for it."""

from collections.abc import Sequence
from dataclasses import dataclass

from maskbeam.pipeline.models.files.input_scaling import Scaling, fits, is_for_pixels, likely_normalization
from maskbeam.pipeline.models.files.model_facts import ModelFacts
from maskbeam.pipeline.models.loading.loaded_model import LoadedModel, TensorSpec
from maskbeam.pipeline.options import ModelOptions
from maskbeam.transforms.errors import RunError
from maskbeam.transforms.normalize import Normalization, parse_normalization

# As many channels as pictures have; more tells that an axis is a side of the image.
USUAL_CHANNELS = (1, 3, 4)
# Types of whole numbers that are not there for 0..255, and how `--normalize` scales pixels to all that they hold.
_OTHER_RANGES = {
    "uint16": "0/0.0038910506 if on 0..65535",
    "int16": "0/0.0077822199 if on 0..32767",
    "int8": "128/1 if on -128..127",
}


@dataclass(frozen=True)
class InputFacts:
    """The planes that a model takes; None for a side that is free, and for a batch of any size."""

    height: int | None
    width: int | None
    channels: int
    channels_first: bool
    batch: int | None = None


def find_input(loaded: LoadedModel) -> tuple[InputFacts, str]:
    """The facts of the model's one input, with a line of evidence.

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


def known_channels(facts: ModelFacts) -> int | None:
    """Channels that a model takes, as far as its file tells."""
    if len(facts.inputs) != 1 or len(facts.inputs[0].shape) != 4:
        return None
    shape = facts.inputs[0].shape
    return shape[1 if _is_channels_first(shape, facts.data_format) else 3]


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


def scales_itself(model: LoadedModel | ModelFacts) -> bool:
    """True if a model takes pixels of 0..255 as they are: it scales them itself, or takes whole numbers."""
    if model.scaling is None and model.scales_input:
        return True
    if model.scaling is not None and (is_for_pixels(model.scaling) or not fits(model.scaling.span())):
        return is_for_pixels(model.scaling)
    # A byte holds 0..255, and so do 32 bits or more; 16 bits are there for 0..65535, and int8 ends at 127.
    return "int" in model.inputs[0].dtype and model.inputs[0].dtype not in _OTHER_RANGES


def find_normalization(loaded: LoadedModel | ModelFacts, options: ModelOptions) -> tuple[Normalization, str]:
    """How pixels are scaled for the model, with a line of evidence.

    Raises:
        RunError: As of `check_inputs`; or `--normalize` was not given, and the model does not scale by itself, or not
            from 0..255.
    """
    check_inputs(loaded.inputs)
    if options.normalize is not None:
        normalization = parse_normalization(options.normalize)
        return normalization, f"scaling {options.normalize}: as --normalize says{_besides(loaded, normalization)}"
    if scales_itself(loaded):
        own = _own(loaded) if loaded.scales_input else f"takes {loaded.inputs[0].dtype}"
        return parse_normalization("none"), f"scaling none: the model {own}"
    if loaded.scaling and not fits(loaded.scaling.span()):
        raise RunError(_not_from_pixels(loaded, loaded.scaling))
    if (dtype := loaded.inputs[0].dtype) in _OTHER_RANGES:
        raise RunError(
            f"The model takes {dtype}, so say what of: --normalize none if it was trained on values of 0..255, "
            f"--normalize {_OTHER_RANGES[dtype]}"
        )
    changes = f"leaves pixels about as they are ({_own(loaded)})" if loaded.scaling else "does not scale its input"
    raise RunError(
        f"The model {changes}, so say what it was trained with: --normalize 0..1, -1..1, imagenet, "
        "caffe, none, or a mean and a deviation for each channel, such as 120,115,104/58,57,57. "
        "`maskbeam inspect` shows which is right."
    )


def twice_scaled(scaling: Scaling | None, normalization: Normalization) -> str | None:
    """A warning where `--normalize` comes before a model's own scaling that fits pixels as they are; else None."""
    if scaling is None or normalization == parse_normalization("none") or not is_for_pixels(scaling):
        return None
    return (
        f"pixels are scaled twice: the model's own scaling makes {_range(scaling.span())} of 0..255, and "
        f"{_range(scaling.span(normalization))} of what --normalize gives it; leave --normalize out, unless the "
        "model was trained so"
    )


def _own(model: LoadedModel | ModelFacts) -> str:
    makes = f", which makes {_range(model.scaling.span())} of 0..255" if model.scaling else ""
    return f"has its own, {', '.join(model.preprocessing)}{makes}"


def _besides(model: LoadedModel | ModelFacts, normalization: Normalization) -> str:
    if not model.scales_input:
        return ""
    makes = f"; together they make {_range(model.scaling.span(normalization))} of 0..255" if model.scaling else ""
    return f", besides the model's own {', '.join(model.preprocessing)}{makes}"


def _not_from_pixels(model: LoadedModel | ModelFacts, scaling: Scaling) -> str:
    likely = likely_normalization(scaling)
    how = "say with --normalize how they were"
    if likely:
        made = _range(scaling.span(parse_normalization(likely)))
        how = f"--normalize {likely} would make {made}, and --normalize none leaves all as it is"
    return (
        f"The model's own scaling, {', '.join(model.preprocessing)}, makes {_range(scaling.span())} of pixels of "
        f"0..255, which no network is usually trained on: they were probably scaled before. So {how}. "
        "`maskbeam inspect` shows which is right."
    )


def _range(span: tuple[float, float]) -> str:
    return f"{span[0]:.4g}..{span[1]:.4g}"
