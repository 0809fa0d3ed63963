"""What a run is, resolved before work starts: plain values that every worker gets, and a fingerprint of them."""

import json
from dataclasses import asdict, dataclass, replace
from typing import Any

from pipeline.inputs.anonymous import naming
from pipeline.models.probe import Probe
from pipeline.options import PRODUCTS, RunOptions
from pipeline.output.claim import digest
from pipeline.output.holder import Holder
from pipeline.output.parts import lock_of
from pipeline.output.tree import Tree
from pipeline.storage import is_gcs
from pipeline.without_effect import check_effects
from transforms.argmax import Labeling
from transforms.class_table import ClassTable
from transforms.emitted import assumed_note, emits_ids
from transforms.errors import RunError
from transforms.head import Head
from transforms.render import Rendering

# Raised when the same options begin to give other pixels, so that a rerun over old masks is noticed.
PIXELS_VERSION = 3


@dataclass(frozen=True)
class Job:
    """Everything a worker needs to know.

    Attributes:
        options: As the user gave them, patterns and paths absolute.
        run: This run's name; differs from run to run.
        probe: How the model is fed and read.
        table: The model's classes.
        labeling: How scores become labels.
        rendering: Which products are made.
        settings: All that decides about pixels, by the name under which a person knows it.
    """

    options: RunOptions
    run: str
    probe: Probe
    table: ClassTable
    labeling: Labeling
    rendering: Rendering
    settings: dict[str, Any]

    @property
    def tree(self) -> Tree:
        """The output folder, as this job writes to it."""
        root = self.options.output.path
        lock, staging = f"{root}/{lock_of(self.options.read.part)}", f"{root}/.tmp/{self.run}"
        return Tree(
            root,
            staging=staging,
            record=self._record,
            fingerprint=fingerprint(self.settings),
            inputs=digest(json.dumps(sorted(self.options.read.patterns))),
            overwrite=self.options.output.overwrite,
            hold=Holder(lock, self.run, staging),
        )

    @property
    def writes_far(self) -> bool:
        """Whether workers wait for storage far away when they ask for masks or write them."""
        return is_gcs(self.options.output.path)

    @property
    def mask_folder(self) -> tuple[str, ...]:
        """`masks`, or nothing for models whose classes overlap."""
        return () if self.labeling.has_planes else ("masks",)

    @property
    def _record(self) -> str:
        if self.labeling.has_planes:
            return f"binary/{self.rendering.folders[0][2]}/{{}}.png"
        return "masks/{}.png"

    @property
    def end(self) -> str:
        """Where the argmax is taken: in the model's own graph (`labels`) unless something needs its scores."""
        smooth = self.labeling.upsample == "logits" and self.probe.head.kind != "ids"
        needs_scores = smooth or self.labeling.needs_confidence or self.labeling.has_planes
        return "logits" if needs_scores or self.labeling.nonfinite == "ignore" else "labels"


def make_job(options: RunOptions, run: str, probe: Probe, table: ClassTable) -> Job:
    """Resolves a run.

    Raises:
        RunError: Options do not fit each other, the model or the class table.
    """
    if options.decode.fast_decode and probe.spec.resize == "native":
        raise RunError(
            "--fast_decode decodes near the model's size, but this model's is free: it takes images as they are"
        )
    ignore = table.check_ignore(options.label.ignore_label)
    products = possible_products(options.output.products, probe.head, options.label.multilabel)
    options = replace(options, output=replace(options.output, products=products))
    label, seen = options.label, probe.seen_ids
    if probe.head.kind == "ids" and (note := assumed_note(table.ids, seen)) and note not in table.notes:
        table = replace(table, notes=(*table.notes, note))
    labeling = Labeling(
        kind=probe.head.kind,
        channel_ids=table.ids,
        upsample=label.upsample,
        threshold=label.threshold,
        ignore_label=ignore,
        measure=label.confidence,
        min_confidence=label.min_confidence,
        keep_confidence="confidence" in options.output.products,
        multilabel=label.multilabel,
        nonfinite=label.nonfinite,
        emits_ids=probe.head.kind == "ids" and emits_ids(table.ids, seen),
    )
    check_effects(options, probe.spec, labeling)
    rendering = make_rendering(options, table, labeling)
    return Job(options, run, probe, table, labeling, rendering, settings_of(options, probe, table, labeling))


def possible_products(products: frozenset[str], head: Head, multilabel: str) -> frozenset[str]:
    """The products that are made: `all` means all that this model can give; what is named alone must be possible."""
    if products != frozenset(PRODUCTS):
        return products
    if head.is_multilabel and multilabel == "planes":
        return products - {"color", "overlay"}
    return products - {"confidence"} if head.kind == "ids" else products


def make_rendering(options: RunOptions, table: ClassTable, labeling: Labeling) -> Rendering:
    """Which products are made.

    Raises:
        RunError: A product is asked for that this model or these options cannot give.
    """
    output, products = options.output, options.output.products
    if labeling.has_planes:
        if products & {"color", "overlay"}:
            raise RunError(
                "the model's classes are independent of each other, so a pixel has no single colour: leave color and "
                "overlay out of --products, or say --multilabel argmax to take the likeliest class"
            )
        products |= {"binary"}
    if output.binary_classes and "binary" not in products:
        raise RunError("--binary_classes chooses among binary masks; add binary to --products")
    named = {table.named(name) for name in output.binary_classes}
    chosen = [c for c in table.classes if not named or c in named]
    return Rendering(
        products=products,
        colors=table.colors,
        binary=tuple((c.id, c.name) for c in chosen),
        opacity=output.overlay_opacity,
        ignore_label=labeling.ignore,
    )


def settings_of(options: RunOptions, probe: Probe, table: ClassTable, labeling: Labeling) -> dict[str, Any]:
    """All that decides about an image's files, by the name under which a person knows it."""
    plain = {
        "model": probe.digest,
        "engine": dict(probe.versions),
        "--mixed_precision": options.model.mixed_precision,
        "input": [asdict(probe.spec), asdict(probe.normalization), probe.channel_order],
        "head": asdict(probe.head),
        "classes": [[c.channel, c.id, c.name, list(c.color)] for c in table.classes],
        "--input_range": options.decode.input_range,
        "--background": options.decode.background,
        "--max_pixels": options.decode.max_pixels,
        "--fast_decode": options.decode.fast_decode,
        "--upsample": labeling.upsample,
        "--threshold": labeling.threshold,
        "--ignore_label": labeling.ignore,
        "--confidence": labeling.measure,
        "--min_confidence": labeling.min_confidence,
        "--multilabel": labeling.multilabel,
        "--nonfinite": labeling.nonfinite,
        "--products": sorted(options.output.products),
        "--binary_classes": sorted(options.output.binary_classes),
        "--overlay_opacity": options.output.overlay_opacity,
        "--keep_extension": options.read.keep_extension,
        "--anonymous_ids": options.output.anonymous_ids and naming(anonymous=True)("key"),
        "pixels version": PIXELS_VERSION,
    }
    if options.decode.orientation != "stored":
        plain["--orientation"] = options.decode.orientation
    if labeling.emits_ids:
        plain["model emits"] = "ids"
    # Through JSON and back, so that settings compare equal to those that were stored.
    return dict(json.loads(json.dumps(plain)))


def fingerprint(settings: dict[str, Any]) -> str:
    """A digest of settings."""
    return digest(json.dumps(settings, sort_keys=True))


def differences(mine: dict[str, Any], stored: dict[str, Any]) -> list[str]:
    """What two runs' settings do not agree on, a phrase each."""
    if mine.get("model") != stored.get("model"):
        return ["the model was another file"]
    names = [name for name in {**stored, **mine} if mine.get(name) != stored.get(name)]
    return [f"{name} was {_short(stored.get(name))} and is {_short(mine.get(name))}" for name in names]


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
