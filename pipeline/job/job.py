"""A run, resolved before work starts: plain values that every worker gets, and a fingerprint of them."""

import json
from dataclasses import dataclass, replace
from typing import Any

from maskbeam.pipeline.inputs.anonymous import PLAIN, Names, naming
from maskbeam.pipeline.job.settings import drawing_of, fingerprint, mending_of, of_images, settings_of
from maskbeam.pipeline.job.without_effect import check_effects
from maskbeam.pipeline.models.probing.probe import Probe
from maskbeam.pipeline.options import RunOptions
from maskbeam.pipeline.options.output import GEOTIFF
from maskbeam.pipeline.output.geotiff.files import paths_of, record_path
from maskbeam.pipeline.output.holder import Holder
from maskbeam.pipeline.output.parts import lock_of
from maskbeam.pipeline.output.tree import Tree
from maskbeam.pipeline.storage import is_gcs
from maskbeam.transforms.argmax import Labeling
from maskbeam.transforms.classes.class_table import ClassTable
from maskbeam.transforms.codecs.encode import mask_path
from maskbeam.transforms.emitted import assumed_note, emits_ids
from maskbeam.transforms.errors import RunError
from maskbeam.transforms.geo.geojson import Aoi
from maskbeam.transforms.head import Head
from maskbeam.transforms.products.registry import product, product_names, products_of
from maskbeam.transforms.products.render import patterns
from maskbeam.transforms.products.rendering import Rendering
from maskbeam.transforms.tiling.layout import Tiling
from maskbeam.transforms.tiling.tile import Cutter


@dataclass(frozen=True)
class Job:
    """Everything a worker needs to know.

    Attributes:
        options: As the user gave them, patterns and paths absolute.
        run: This run's name; differs from run to run.
        probe: Facts about the model's input and head.
        table: The model's classes.
        labeling: The way from scores to labels.
        rendering: The products that are made.
        settings: All that decides about an image's files, by the name under which a person knows it.
        fingerprint: The digest that masks carry: of all that their pixels depend on, or the one that the output's
            masks carry already for the same.
        drawn_before: Digests of the drawing of products, in an output that an older version began.
        names: The stand-ins in the output for names of images and for their sources.
        aoi: The area of interest; None: all of each image.
    """

    options: RunOptions
    run: str
    probe: Probe
    table: ClassTable
    labeling: Labeling
    rendering: Rendering
    settings: dict[str, Any]
    fingerprint: str
    drawn_before: tuple[tuple[str, str], ...] = ()
    names: Names = PLAIN
    aoi: Aoi | None = None

    @property
    def tree(self) -> Tree:
        """The output folder, as this job writes to it."""
        root = self.options.output.path
        lock, staging = f"{root}/{lock_of(self.options.read.part)}", f"{root}/.tmp/{self.run}"
        return Tree(
            root,
            staging=staging,
            record=self._record,
            fingerprint=self.fingerprint,
            inputs=self.names.digest(json.dumps(sorted(self.options.read.patterns)).encode(), of="inputs"),
            overwrite=self.options.output.overwrite,
            hold=Holder(lock, self.run, staging),
            mending=mending_of(self.options, self.probe.spec),
            drawing=tuple(drawing_of(self.settings).items()),
            drawn_before=self.drawn_before,
            of_images=tuple(of_images(self.settings).items()),
            names=self.names,
        )

    @property
    def writes_far(self) -> bool:
        """True where workers wait for storage far away when they ask for masks or write them."""
        return is_gcs(self.options.output.path)

    @property
    def keeps_images(self) -> bool:
        """True where something is drawn on the images themselves as they were fed; scenes are read again, small."""
        return not self.is_geotiff and any(each.needs_image for each in products_of(self.rendering.products))

    @property
    def mask_folder(self) -> tuple[str, ...]:
        """`masks`, or nothing for models whose classes overlap."""
        return () if self.labeling.has_planes else ("masks",)

    @property
    def paths(self) -> list[str]:
        """The paths of all files of an image, `{}` standing for its encoded id; of pictures but for the mask's."""
        if self.is_geotiff:
            return paths_of(self.rendering, self.labeling)
        return patterns(self.rendering, planes=self.labeling.has_planes)

    @property
    def is_geotiff(self) -> bool:
        """True where masks and products are GeoTIFFs."""
        return self.options.output.mask_format == GEOTIFF

    @property
    def _record(self) -> str:
        if self.is_geotiff:
            return record_path(self.rendering, self.labeling)
        if self.labeling.has_planes:
            return product("binary").path(self.rendering.folders[0][2])
        return mask_path()

    @property
    def tiling(self) -> Tiling | None:
        """The way in which images are cut into windows; None where each is fed as a whole."""
        spec, head, tile = self.probe.spec, self.probe.head, self.options.tile
        if spec.resize != "tile" or spec.height is None or spec.width is None:
            return None
        # Ids have no mean.
        blend = "nearest" if head.kind == "ids" else tile.blend
        return Tiling((spec.height, spec.width), tile.overlap, blend, max(1, head.channels))

    @property
    def cutter(self) -> Cutter | None:
        """The cutter of images into windows; None where each is fed as a whole."""
        return Cutter(self.tiling, self.probe.spec, self.keeps_images) if self.tiling else None

    @property
    def end(self) -> str:
        """The place of the argmax: in the model's own graph (`labels`) unless something needs its scores."""
        smooth = self.labeling.upsample == "logits" and self.probe.head.kind != "ids"
        needs_scores = smooth or self.labeling.needs_confidence or self.labeling.has_planes
        needs_scores |= self.options.tile.tta != "none"
        return "logits" if needs_scores or self.labeling.nonfinite == "ignore" else "labels"


def make_job(options: RunOptions, run: str, probe: Probe, table: ClassTable, aoi: Aoi | None = None) -> Job:
    """Resolves a run.

    Args:
        options: As they were checked.
        run: The run's name.
        probe: Facts about the model.
        table: Its classes.
        aoi: The polygons of `--aoi`.

    Raises:
        RunError: Options do not fit each other, the model or the class table.
    """
    if options.tile.tta != "none":
        _check_augmentation(options.tile.tta, probe)
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
        keep_confidence=any(each.needs_confidence for each in products_of(products)),
        multilabel=label.multilabel,
        nonfinite=label.nonfinite,
        emits_ids=probe.head.kind == "ids" and emits_ids(table.ids, seen),
    )
    check_effects(options, probe.spec, labeling)
    rendering = make_rendering(options, table, labeling)
    settings = settings_of(options, probe, table, labeling, aoi)
    names = naming(anonymous=options.output.anonymous_ids)
    made = fingerprint(settings)
    return Job(options, run, probe, table, labeling, rendering, settings, made, names=names, aoi=aoi)


def _check_augmentation(views: str, probe: Probe) -> None:
    spec = probe.spec
    if probe.head.kind == "ids":
        raise RunError(f"--tta {views} averages scores, but the model emits class ids: leave it out")
    if views == "d4" and spec.height != spec.width:
        raise RunError(
            f"--tta d4 turns images by a quarter, but the model takes {spec.height} x {spec.width}: use flips"
        )


def possible_products(products: frozenset[str], head: Head, multilabel: str) -> frozenset[str]:
    """The products that are made: `all` means all that this model can give; what is named alone must be possible."""
    if products != frozenset(product_names()):
        return products
    planes = head.is_multilabel and multilabel == "planes"
    return frozenset(each.name for each in products_of(products) if each.fits(kind=head.kind, planes=planes))


def make_rendering(options: RunOptions, table: ClassTable, labeling: Labeling) -> Rendering:
    """The products that are made.

    Raises:
        RunError: A product is asked for that this model or these options cannot give.
    """
    output, products = options.output, options.output.products
    if labeling.has_planes:
        of_labels = [each.name for each in products_of(product_names()) if not each.of_planes]
        if products & set(of_labels):
            raise RunError(
                "the model's classes are independent of each other, so a pixel has no single colour: leave "
                f"{' and '.join(of_labels)} out of --products, or say --multilabel argmax to take the likeliest class"
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
