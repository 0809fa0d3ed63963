"""Everything that can be wrong with a command is found here, in seconds, before work starts."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from pipeline.checks import check_options
from pipeline.classes.class_files import load_class_table, read_class_table
from pipeline.engine_flags import check_engine
from pipeline.execute import is_local
from pipeline.going_on import going_on
from pipeline.inputs.anonymous import is_keyed
from pipeline.inputs.check_channels import check_channels
from pipeline.inputs.survey import Survey, survey
from pipeline.job import Job, make_job
from pipeline.models.engines import loaded_model
from pipeline.models.kept_probe import keep_probe
from pipeline.models.keras_model import open_model
from pipeline.models.model_facts import file_facts
from pipeline.models.model_file import ModelFile
from pipeline.models.model_input import find_normalization
from pipeline.models.probe import Probe, other_versions, probe_model
from pipeline.options import PRODUCTS, ModelOptions, RunOptions
from pipeline.output.ours import check_made, check_new
from pipeline.output.stored_json import parse_stored
from pipeline.output.tree import RECORD
from pipeline.reports.wording import printable
from pipeline.settings import Difference, differences, is_older
from pipeline.storage import NotFound, NotPlain, SourceChanged, absolute, open_storage
from pipeline.without_effect import without_effect
from transforms.class_table import ClassTable
from transforms.errors import RunError
from transforms.head import BINARY
from transforms.known_classes import KNOWN_TABLES

_MAX_FILE_BYTES = 64 << 20  # of what a user names beside images and models, such as class tables


@dataclass(frozen=True)
class Plan:
    """A run that can start.

    Attributes:
        job: What workers need to know.
        survey: What is known of the input.
        model: The model file.
        is_new: Whether nothing was done in this output with these settings before.
        notes: What becomes of masks that are there, a line each.
    """

    job: Job
    survey: Survey
    model: ModelFile
    is_new: bool = True
    notes: tuple[str, ...] = ()

    def describe(self) -> str:
        """What is about to be done, for a person."""
        job, model = self.job, self.model
        classes = ", ".join(f"{c.id} {c.name}" for c in job.table.classes[:12])
        more = f" and {len(job.table) - 12} more" if len(job.table) > 12 else ""
        products = ", ".join([*job.mask_folder, *sorted(job.rendering.products)])
        lines = [
            f"Input    {' '.join(job.options.read.patterns)}; {self.survey}",
            f"Model    {model.uri} ({model.kind}, {model.size:,} bytes, sha256 {model.digest[:12]}...)",
            *(f"         {line}" for line in job.probe.evidence),
            f"Classes  {len(job.table)}: {classes}{more}",
            *(f"         {note}" for note in job.table.notes),
            f"Output   {job.options.output.path} with {products}",
            *(f"         {note}" for note in self.notes),
            *(f"Unused   {flag}" for flag in without_effect(job.options, job.probe.spec, job.labeling)),
            *(f"Warning  {warning}" for warning in (*job.probe.warnings, *job.names.warnings)),
        ]
        return "\n".join(map(printable, lines))


# As many as a person reads; where they are more, hardly anything is the same.
_DIFFERENCES = 6
FindProbe = Callable[[ModelOptions, ModelFile], Probe]


def probe_file(options: ModelOptions, model: ModelFile) -> Probe:
    """Loads a model and runs it on a probe batch; errors as in `probe_model`."""
    return probe_model(loaded_model(options, model.digest), options, digest=model.digest)


@dataclass(frozen=True)
class Command:
    """A command that was found good as far as can be told without loading the model.

    Attributes:
        options: With absolute paths.
        survey: What is known of the input.
        model: The model file.
    """

    options: RunOptions
    survey: Survey
    model: ModelFile


def check_command(options: RunOptions) -> Command:
    """Finds in a second or two whatever is wrong with a command, the model's inside apart.

    Raises:
        RunError: Options contradict each other; a pattern matches nothing; the model or the class table is not there,
            or not what it should be; or the model does not say how it wants its input scaled.
    """
    options = absolute_options(options)
    check_options(options)
    check_engine(options)
    surveyed = survey(options.read)
    model = open_model(options.model)
    facts = file_facts(model)
    if facts.inputs:
        find_normalization(facts, options.model)
    if options.label.classes:
        table = read_class_table(options.label.classes, read=read_file)
        table.check_ignore(options.label.ignore_label)
        for name in options.output.binary_classes:
            table.named(name)
    return Command(options, surveyed, model)


def make_plan(command: Command, run: str, *, find_probe: FindProbe = probe_file) -> Plan:
    """Resolves a command into a job.

    Args:
        command: What was checked.
        run: This run's name.
        find_probe: Says how a model is fed and read, when the output does not tell.

    Raises:
        RunError: The model does not fit the options, the input, the class table, or what is in the output already.
    """
    options, model = command.options, command.model
    stored = stored_record(options.output.path)
    made = None
    if stored is None and not options.output.overwrite:
        made = check_new(options.output.path, open_storage(options.output.path))
    probe = _known_probe(stored, options, model) or find_probe(options.model, model)
    check_channels(probe.spec.channels, options.read)
    job = settled(make_job(options, run, probe, _class_table(options, probe)))
    check_made(options.output.path, made, job.fingerprint)
    if not probe.engine and is_local(options.beam):
        keep_probe(options, job.probe)
    if stored is None or not _has_settings(job, stored):
        return Plan(job, command.survey, model)
    job, notes = going_on(job, stored)
    return Plan(job, command.survey, model, is_new=False, notes=notes)


def settled(job: Job) -> Job:
    """The job with the engine that runs it; decided once for an output, and kept by its reruns."""
    if job.probe.engine:
        return job
    from pipeline.models.choose_engine import settle_engine

    options = job.options
    load = partial(loaded_model, options.model, job.probe.digest)
    local, threshold = is_local(options.beam), job.labeling.threshold
    asked = engine_asked(options.model)
    probe = settle_engine(asked, load, job.probe, end=job.end, local=local, threshold=threshold)
    return make_job(options, job.run, probe, job.table)


def engine_asked(options: ModelOptions) -> str:
    """The engine that the user's flags ask for: `tensorflow`, `openvino` or `auto`."""
    return "tensorflow" if options.mixed_precision else options.engine


def absolute_options(options: RunOptions) -> RunOptions:
    """The same options with paths as they read from any working directory: they identify images from run to run."""
    read, output = options.read, options.output
    root = read.id_root and absolute(read.id_root)
    table = options.label.classes
    table = absolute(table) if table and table not in KNOWN_TABLES else table
    return replace(
        options,
        read=replace(read, patterns=tuple(map(absolute, read.patterns)), id_root=root),
        model=replace(options.model, path=absolute(options.model.path)),
        label=replace(options.label, classes=table),
        output=replace(output, path=absolute(output.path).rstrip("/")),
    )


def read_file(path: str) -> bytes:
    """A file that the user named, local or not.

    Raises:
        NotFound: There is none.
        RunError: It is too large to be what is read so, no plain file, or altered while it was read.
    """
    uri = absolute(path)
    found = open_storage(uri).stat(uri)
    if found and found.size > _MAX_FILE_BYTES:
        raise RunError(
            f"{path} has {found.size >> 20} MiB, and may have {_MAX_FILE_BYTES >> 20}; is it the right file?"
        )
    try:
        return open_storage(uri).read(uri)
    except NotPlain:
        raise RunError(f"{path} is a folder, a pipe or a device, where a file is wanted; save it to one") from None
    except SourceChanged:
        raise RunError(f"{path} was altered while it was read; run again when nobody writes to it") from None


def stored_record(output: str) -> dict[str, Any] | None:
    """What the last run left about itself in an output; None in a new one.

    Raises:
        RunError: There is a record that cannot be read.
    """
    storage, uri = open_storage(output), f"{output}/{RECORD}"
    try:
        record = parse_stored(storage.read(uri))
    except NotFound:
        if storage.stat(uri):
            raise RunError(
                f"{uri} is there and cannot be read; mend the storage, or choose another --output"
            ) from None
        return None
    except ValueError:
        record = None
    if isinstance(record, dict) and isinstance(record.get("settings"), dict):
        return record
    raise _damaged(uri)


def _damaged(uri: str) -> RunError:
    return RunError(f"{uri} is damaged; remove it to do everything again under --overwrite")


def record_of(job: Job) -> bytes:
    """What a run leaves about itself in its output."""
    record = {
        "settings": job.settings,
        # Of a sample nobody can say which inputs are gone.
        "inputs": None if job.options.read.limit is not None else job.tree.inputs,
        "fingerprint": job.fingerprint,
        "drawn_before": dict(job.drawn_before),
        "probe": json.loads(job.probe.to_json()),
        "model_options": _model_options(job.options.model),
    }
    return json.dumps(record, indent=1, sort_keys=True).encode()


def _model_options(options: ModelOptions) -> dict[str, Any]:
    return dict(json.loads(json.dumps(asdict(replace(options, path="")))))


def _known_probe(stored: dict[str, Any] | None, options: RunOptions, model: ModelFile) -> Probe | None:
    if stored is None or stored.get("model_options") != _model_options(options.model):
        return None
    try:
        probe = Probe.from_json(json.dumps(stored["probe"]))
    except (KeyError, TypeError, ValueError):
        # Another version of maskbeam wrote it: the model is probed again, and its settings are compared as ever.
        return None
    outdated = options.output.overwrite and other_versions(probe)
    return probe if probe.digest == model.digest and not outdated else None


def _class_table(options: RunOptions, probe: Probe) -> ClassTable:
    spec, classes = options.label.classes, probe.head.classes
    if classes is None:
        if spec is None:
            raise RunError("the model gives class ids, so its number of classes is not known: say it with --classes")
        return read_class_table(spec, read=read_file)
    return load_class_table(spec, channels=classes, read=read_file, sigmoid=probe.head.kind in BINARY)


def _has_settings(job: Job, stored: dict[str, Any]) -> bool:
    """Whether the masks of an output were made as this job makes them.

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
    """Whether one of the two has plain names and the other keyed ones, or other keys; older keyed ones may go on."""
    before, now = (held.get("--anonymous_ids") for held in (stored["settings"], job.settings))
    return before != now and (not before or is_keyed(before))


def _differences(job: Job, stored: dict[str, Any]) -> list[Difference]:
    try:
        return differences(job.settings, stored["settings"], older=is_older(stored))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        raise _damaged(f"{job.options.output.path}/{RECORD}") from None


def _holds_files(output: str) -> bool:
    storage = open_storage(output)
    return any(next(iter(storage.list(f"{output}/{folder}/")), None) for folder in ("masks", *PRODUCTS))
