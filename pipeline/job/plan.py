"""Everything that can be wrong with a command is found here, in seconds, before work starts."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from maskbeam.pipeline.classes.class_files import load_class_table, read_class_table, read_file
from maskbeam.pipeline.inputs.anonymous import is_keyed
from maskbeam.pipeline.inputs.survey import Survey, survey
from maskbeam.pipeline.job.area_file import read_area
from maskbeam.pipeline.job.check_channels import check_channels
from maskbeam.pipeline.job.check_options import check_options, check_windows
from maskbeam.pipeline.job.check_rasters import check_rasters
from maskbeam.pipeline.job.going_on import going_on
from maskbeam.pipeline.job.job import Job, make_job
from maskbeam.pipeline.job.record import damaged_record, known_probe, stored_record
from maskbeam.pipeline.job.settings import Difference, differences, is_older
from maskbeam.pipeline.job.without_effect import without_effect
from maskbeam.pipeline.models.engines.loader import loaded_model
from maskbeam.pipeline.models.engines.probe_cache import keep_probe
from maskbeam.pipeline.models.engines.registry import REFERENCE
from maskbeam.pipeline.models.files.model_facts import file_facts
from maskbeam.pipeline.models.files.model_file import ModelFile
from maskbeam.pipeline.models.loading.loaded_model import open_model
from maskbeam.pipeline.models.probing.find_input import find_normalization, known_channels
from maskbeam.pipeline.models.probing.probe import Probe, probe_model
from maskbeam.pipeline.options import ModelOptions, RunOptions
from maskbeam.pipeline.options.output import GEOTIFF
from maskbeam.pipeline.output.ours import check_made, check_new, image_folders
from maskbeam.pipeline.output.tree import RECORD
from maskbeam.pipeline.runners.registry import check_runner, runner_of
from maskbeam.pipeline.storage import open_storage
from maskbeam.pipeline.text.wording import printable
from maskbeam.transforms.augment import VIEWS
from maskbeam.transforms.classes.class_table import ClassTable
from maskbeam.transforms.errors import RunError
from maskbeam.transforms.head import BINARY
from maskbeam.transforms.tiling.weights import NEAREST


@dataclass(frozen=True)
class RunInputs:
    """The input and the model of a run.

    Attributes:
        survey: Facts about the input.
        model: The model file.
    """

    survey: Survey
    model: ModelFile


@dataclass(frozen=True)
class Plan:
    """A run that can start.

    Attributes:
        job: All that workers need to know; its options are those that the run goes by.
        inputs: The input and the model.
        is_new: True where nothing was done in this output with these settings before.
        notes: The fate of masks that are there, a line each.
    """

    job: Job
    inputs: RunInputs
    is_new: bool = True
    notes: tuple[str, ...] = ()

    def describe(self) -> str:
        """The plan in words, for a person."""
        job, model = self.job, self.inputs.model
        classes = ", ".join(f"{c.id} {c.name}" for c in job.table.classes[:12])
        more = f" and {len(job.table) - 12} more" if len(job.table) > 12 else ""
        products = ", ".join([*job.mask_folder, *sorted(job.rendering.products)])
        lines = [
            f"Input    {' '.join(job.options.read.patterns)}; {self.inputs.survey}",
            f"Model    {model.uri} ({model.kind}, {model.size:,} bytes, sha256 {model.digest[:12]}...)",
            *(f"         {line}" for line in (*job.probe.evidence, *_windows(job))),
            f"Classes  {len(job.table)}: {classes}{more}",
            *(f"         {note}" for note in job.table.notes),
            f"Output   {job.options.output.path} with {products}",
            *(f"         {line}" for line in _format(job)),
            *(f"         {note}" for note in self.notes),
            *(f"Unused   {flag}" for flag in without_effect(job.options, job.probe.spec, job.labeling)),
            *(f"Warning  {warning}" for warning in (*job.probe.warnings, *job.names.warnings)),
        ]
        return "\n".join(map(printable, lines))


def _windows(job: Job) -> Iterator[str]:
    if job.tiling:
        (height, width), (down, across) = job.tiling.window, job.tiling.stride
        blend = f"blended by {job.tiling.blend}" if job.tiling.blend != NEAREST else "each pixel from the nearest one"
        because = ", for ids have no mean" if job.probe.head.kind == "ids" else ""
        yield f"windows of {height} x {width}, every {down} rows and {across} columns, {blend}{because}"
    if job.options.tile.tta != "none":
        yield f"scores averaged over {len(VIEWS[job.options.tile.tta])} views, --tta {job.options.tile.tta}"


def _format(job: Job) -> Iterator[str]:
    if job.is_geotiff:
        yield "GeoTIFFs on the grids of their images; plain pictures get masks without a place on the earth"


# As many as a person reads; where they are more, hardly anything is the same.
_DIFFERENCES = 6
FindProbe = Callable[[ModelOptions, ModelFile], Probe]


def probe_file(options: ModelOptions, model: ModelFile) -> Probe:
    """Loads a model and runs it on a probe batch; errors as in `probe_model`."""
    return probe_model(loaded_model(options, model.digest), options, digest=model.digest)


def check_command(options: RunOptions) -> RunInputs:
    """Finds in a second or two whatever is wrong with a command, the model's inside apart.

    Args:
        options: With absolute paths.

    Raises:
        RunError: Options contradict each other; a pattern matches nothing; the model or the class table is not there,
            or not what it should be; or the model does not say how it wants its input scaled.
    """
    check_options(options)
    check_windows(options)
    check_runner(options)
    surveyed = survey(options.read)
    model = open_model(options.model)
    facts = file_facts(model)
    if facts.inputs:
        find_normalization(facts, options.model)
    if options.output.mask_format == GEOTIFF:
        read_area(options.raster)
        check_rasters(options, known_channels(facts))
    if options.label.classes:
        table = read_class_table(options.label.classes, read=read_file)
        table.check_ignore(options.label.ignore_label)
        for name in options.output.binary_classes:
            table.named(name)
    return RunInputs(surveyed, model)


def make_plan(options: RunOptions, inputs: RunInputs, run: str, *, find_probe: FindProbe = probe_file) -> Plan:
    """Resolves options into a job.

    Args:
        options: As they were checked.
        inputs: By `check_command`.
        run: This run's name.
        find_probe: Says how a model is fed and read, when the output does not tell.

    Raises:
        RunError: The model does not fit the options, the input, the class table, or what is in the output already.
    """
    model = inputs.model
    stored = stored_record(options.output.path)
    made = None
    if stored is None and not options.output.overwrite:
        made = check_new(options.output.path, open_storage(options.output.path))
    probe = known_probe(stored, options, model) or find_probe(options.model, model)
    if options.output.mask_format is None:
        check_channels(probe.spec.channels, options.read)
    job = with_engine(make_job(options, run, probe, _class_table(options, probe), read_area(options.raster)))
    check_made(options.output.path, made, job.fingerprint)
    if not probe.engine and runner_of(options.beam).is_local:
        keep_probe(options, job.probe)
    if stored is None or not _has_settings(job, stored):
        return Plan(job, inputs)
    job, notes = going_on(job, stored)
    return Plan(job, inputs, is_new=False, notes=notes)


def with_engine(job: Job) -> Job:
    """The job with the engine that runs it; decided once for an output, and kept by its reruns."""
    if job.probe.engine:
        return job
    from maskbeam.pipeline.models.engines.choose_engine import choose_engine

    options = job.options
    load = partial(loaded_model, options.model, job.probe.digest)
    local, threshold = runner_of(options.beam).is_local, job.labeling.threshold
    asked = engine_asked(options.model)
    plain = options.model.plain_model
    probe = choose_engine(asked, load, job.probe, end=job.end, local=local, threshold=threshold, plain=plain)
    return make_job(options, job.run, probe, job.table, job.aoi)


def engine_asked(options: ModelOptions) -> str:
    """The engine that the user's flags ask for, by its name, or `auto`."""
    return REFERENCE if options.mixed_precision else options.engine


def _class_table(options: RunOptions, probe: Probe) -> ClassTable:
    spec, classes = options.label.classes, probe.head.classes
    if classes is None:
        if spec is None:
            raise RunError("the model gives class ids, so its number of classes is not known: say it with --classes")
        return read_class_table(spec, read=read_file)
    return load_class_table(spec, channels=classes, read=read_file, sigmoid=probe.head.kind in BINARY)


def _has_settings(job: Job, stored: dict[str, Any]) -> bool:
    """True where the masks of an output were made as this job makes them.

    Raises:
        RunError: They were not, and nobody asked to replace them, or they cannot be, under their other names.
    """
    found, output = _differences(job, stored), job.options.output
    if found and output.overwrite and _names_differ(job, stored) and _holds_files(output.path):
        raise RunError(
            f"{output.path} holds masks under other names: with another key, or with and without --anonymous_ids. "
            "They would stay there beside the new ones. Choose another --output, or remove the masks first"
        )
    if found and not output.overwrite and _holds_files(output.path):
        shown = "; ".join(each.text for each in found[:_DIFFERENCES])
        more = f"; and {len(found) - _DIFFERENCES} more" if len(found) > _DIFFERENCES else ""
        undone = [each.undone for each in found]
        back = f"To go on with them, {', '.join(undone)}; or choose" if all(undone) else "Choose"
        raise RunError(
            f"{output.path} holds masks that were made otherwise: {shown}{more}. {back} another --output, or do "
            "everything again with --overwrite"
        )
    return not found


def _names_differ(job: Job, stored: dict[str, Any]) -> bool:
    """True where one of the two has plain names and the other keyed ones, or other keys; older ones may go on."""
    before, now = (held.get("--anonymous_ids") for held in (stored["settings"], job.settings))
    return before != now and (not before or is_keyed(before))


def _differences(job: Job, stored: dict[str, Any]) -> list[Difference]:
    try:
        return differences(job.settings, stored["settings"], older=is_older(stored))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        raise damaged_record(f"{job.options.output.path}/{RECORD}") from None


def _holds_files(output: str) -> bool:
    storage = open_storage(output)
    return any(next(iter(storage.list(f"{output}/{folder}/")), None) for folder in image_folders())
