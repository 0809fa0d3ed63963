"""Finds out, once before a job, how a model is fed and how its output is read; keeps it for the job's reruns."""

import json
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from maskbeam.pipeline.models.loading.loaded_model import LoadedModel
from maskbeam.pipeline.models.probing.fed_model import FedModel, synthetic_planes
from maskbeam.pipeline.models.probing.find_geometry import check_geometry
from maskbeam.pipeline.models.probing.find_head import choose_output, find_head
from maskbeam.pipeline.models.probing.find_input import InputFacts, find_input, find_normalization, twice_scaled
from maskbeam.pipeline.models.probing.find_stride import find_stride
from maskbeam.pipeline.options import ModelOptions
from maskbeam.transforms.elements import Array
from maskbeam.transforms.errors import RunError
from maskbeam.transforms.head import Head, canonical
from maskbeam.transforms.normalize import Normalization
from maskbeam.transforms.resampling.prepare import InputSpec

PROBE_IMAGES = 2
# Sides of the probe's planes where the model's size is free: unequal, so that their axes can be told apart.
FREE_SIDES = (128, 192)
# A window's side for such a model, where nobody says another.
WINDOW = 512
# More values than a mask holds are no class ids.
_MOST_IDS = 1 << 16


@dataclass(frozen=True)
class Probe:
    """A model's needs and what it gives. Holds plain values only, so a rerun reads it back without loading the model.

    Attributes:
        spec: The planes that the model takes.
        normalization: What turns values of 0..255 into those that the model was trained on.
        channel_order: `rgb` or `bgr`.
        channels_first: Whether the model takes `[N, C, H, W]`.
        head: How its output is read.
        map_size: (h, w) of its output, for planes of `plane_size`.
        plane_size: (height, width) that the probe was made with; the model's own where that is fixed.
        evidence: What was found and why, a line each.
        digest: SHA-256 of the model.
        versions: Of what runs it, by name.
        batch_size: Images that the engine takes at once; 0 while there is no engine.
        engine: What runs the model, by the engine's name; empty while that is not settled.
        agreement: Share of labels that the engine and TensorFlow gave alike, where they were compared.
        seen_ids: What a model of class ids gave for the probe batch, in ascending order.
        warnings: What a person should know of how it is fed, a sentence each.
        plain: Whether it runs as it was loaded, without layers that are rewritten for a CPU.
    """

    spec: InputSpec
    normalization: Normalization
    channel_order: str
    channels_first: bool
    head: Head
    map_size: tuple[int, int]
    plane_size: tuple[int, int]
    evidence: tuple[str, ...]
    digest: str = ""
    versions: tuple[tuple[str, str], ...] = ()
    batch_size: int = 0
    engine: str = ""
    agreement: float | None = None
    seen_ids: tuple[int, ...] = ()
    warnings: tuple[str, ...] = ()
    plain: bool = False

    @property
    def output_stride(self) -> int:
        """Input pixels per output pixel, at least 1."""
        return max(1, self.plane_size[0] // self.map_size[0])

    def as_loaded(self, reason: str) -> "Probe":
        """The probe of the same model, to run as it was loaded."""
        return replace(self, plain=True, evidence=(*self.evidence, f"layers as they were loaded: {reason}"))

    def to_json(self) -> str:
        """As text that `from_json` reads back; what is newer is told only where it is not as it always was."""
        held = asdict(self)
        if not self.plain:
            del held["plain"]
        return json.dumps(held, indent=1)

    @classmethod
    def from_json(cls, text: str) -> "Probe":
        """Reads back what `to_json` wrote."""
        held = json.loads(text)
        held |= {
            "spec": InputSpec(**held["spec"]),
            "normalization": Normalization(**_tuples(held["normalization"])),
            "head": Head(**_tuples(held["head"])),
            "versions": tuple(tuple(pair) for pair in held["versions"]),
        }
        return cls(**_tuples(held))


def other_versions(probe: Probe) -> list[str]:
    """The packages that are another version in this process, each as `keras 3.15.1 in place of 3.15.0`."""
    found = []
    for package, expected in probe.versions:
        # Whatever is not here at all says so itself when it is needed.
        with suppress(PackageNotFoundError):
            if version(package) != expected:
                found.append(f"{package} {version(package)} in place of {expected}")
    return found


def not_as_probed(found: str, probed: str) -> RunError:
    """The error of a model that is not here what it was where it was probed."""
    return RunError(
        f"the model gives {found} on {socket.gethostname()}, but {probed} where this run was planned: are the "
        "packages and --custom_objects the same on both?"
    )


def _tuples(held: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in held.items()}


def probe_model(
    loaded: LoadedModel,
    options: ModelOptions,
    *,
    digest: str = "",
    make_planes: Callable[[InputSpec], Array] | None = None,
) -> Probe:
    """Runs a model on a probe batch and says how to feed and read it.

    Args:
        loaded: The model.
        options: What the user says of it; overrides what would be found.
        digest: Of the model, kept with the probe.
        make_planes: Prepares real images, as planes `[N, h, w, C]` on a scale of 0..255; drawn at random without it.

    Raises:
        RunError: The model cannot be used, or something about it must be said by a flag.
    """
    facts, seen = find_input(loaded)
    normalization, scaled = find_normalization(loaded, options)
    fed = FedModel(loaded, facts, normalization, options.channel_order)
    spec, sized = _find_spec(fed, options)
    planes = make_planes(spec) if make_planes else _planes(spec)
    height, width = planes.shape[1:3]
    outputs = fed.read(planes, options.output_name)
    head, read = find_head(
        outputs,
        height=height,
        width=width,
        data_format=loaded.data_format,
        options=options,
        batch=facts.batch or len(planes),
    )
    scores = canonical(choose_output(outputs, head.output_name).values, head)
    free = spec.height is None or spec.width is None
    if not free:
        # Maps of a free size are told by their shapes: sides of the planes that were tried are unequal and odd.
        check_geometry(planes[0], scores[0], head, partial(_canonical, fed, head))
    return Probe(
        spec=spec,
        normalization=normalization,
        channel_order=options.channel_order,
        channels_first=facts.channels_first,
        head=replace(head, grid=None) if free else head,
        map_size=(scores.shape[1], scores.shape[2]),
        plane_size=(height, width),
        evidence=(seen, scaled, sized, *read),
        digest=digest,
        versions=_versions(loaded.framework),
        seen_ids=tuple(int(value) for value in np.unique(scores)[:_MOST_IDS]) if head.kind == "ids" else (),
        warnings=tuple(filter(None, [twice_scaled(loaded.scaling, normalization)])),
    )


def _canonical(fed: FedModel, head: Head, planes: Array) -> Array:
    """The model's output for planes `[N, h, w, C]`, as `canonical` has it, in the batches that the probe has."""
    size = fed.facts.batch or PROBE_IMAGES
    parts = [planes[start : start + size] for start in range(0, len(planes), size)]
    given = [choose_output(fed(part), head.output_name).values for part in parts]
    return np.concatenate([canonical(values, head)[: len(part)] for values, part in zip(given, parts, strict=True)])


def _planes(spec: InputSpec) -> Array:
    sides = (spec.height, spec.width)
    height, width = (s or -(-free // spec.stride) * spec.stride for s, free in zip(sides, FREE_SIDES, strict=True))
    return synthetic_planes(PROBE_IMAGES, height, width, spec.channels)


def _versions(framework: str) -> tuple[tuple[str, str], ...]:
    packages = ["tensorflow"] if framework == "saved_model" else ["tensorflow", framework]
    # Presets of KerasHub say little of what they compute: its code does.
    packages += ["keras-hub"] if "keras_hub" in sys.modules else []
    return tuple((package, version(package)) for package in packages)


def _find_spec(fed: FedModel, options: ModelOptions) -> tuple[InputSpec, str]:
    facts = fed.facts
    free = facts.height is None
    if free != (facts.width is None):
        sides = f"height {facts.height or 'free'} and width {facts.width or 'free'}"
        raise RunError(f"The model's input has {sides}; only both or neither can be free: export it with both fixed.")
    resize = options.resize or ("native" if free else "stretch")
    if free and resize not in ("native", "tile"):
        raise RunError(
            f"--resize {resize} needs a size to resize to, but the model's is free: use --resize native or tile."
        )
    if not free and resize == "native":
        size = f"{facts.height} x {facts.width}"
        raise RunError(
            f"--resize native needs a model of free size; this one takes {size}: use stretch, letterbox or tile."
        )
    stride = find_stride(lambda height, width: fed.misfit(height, width, options.output_name)) if free else 1
    window = _window(facts, options, stride) if resize == "tile" else (facts.height, facts.width)
    named = options.resize is not None
    spec = InputSpec(*window, facts.channels, resize, options.resize_filter, stride, named)
    return spec, f"resize {resize}: the model's size is {f'free, its stride {stride}' if free else 'fixed'}"


def _window(facts: InputFacts, options: ModelOptions, stride: int) -> tuple[int, int]:
    """The height and width of a window."""
    if facts.height and facts.width:
        if options.tile_size:
            raise RunError(
                f"--tile_size is for a model of free size, but this one's is {facts.height} x {facts.width}"
            )
        return facts.height, facts.width
    side = options.tile_size or max(stride, WINDOW // stride * stride)
    if side % stride:
        raise RunError(
            f"--tile_size {side} is not a multiple of {stride}, the model's stride: use "
            f"{side // stride * stride or stride}"
        )
    return side, side
