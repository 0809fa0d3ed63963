"""Everything that can be wrong with a command is found here, in seconds, before work starts."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from pipeline.class_files import load_class_table, read_class_table
from pipeline.engines import loaded_model
from pipeline.job import Job, differences, make_job
from pipeline.listing import InputSummary, describe_inputs
from pipeline.model_file import ModelFile, check_digest, recognise
from pipeline.options import ModelOptions, RunOptions
from pipeline.probe import Probe, probe_model
from pipeline.storage import NotFound, absolute, is_gcs, open_storage
from pipeline.tree import RECORD
from transforms.class_table import ClassTable
from transforms.errors import RunError
from transforms.head import BINARY


@dataclass(frozen=True)
class Plan:
    """A run that can start.

    Attributes:
        job: What workers need to know.
        inputs: What the patterns match.
        model: The model file.
        stored: The record of the run that wrote to this output before, or None.
    """

    job: Job
    inputs: InputSummary
    model: ModelFile
    stored: dict[str, Any] | None

    @property
    def description(self) -> str:
        """What would be done, for a person."""
        job, products = self.job, ", ".join(["masks", *sorted(self.job.rendering.products)])
        classes = ", ".join(f"{c.id} {c.name}" for c in job.table.classes[:20])
        return "\n".join(
            [
                f"input    {self.inputs}",
                f"model    {self.model.uri} ({self.model.kind}, {self.model.size:,} bytes, {self.model.digest[:12]})",
                f"classes  {len(job.table)}: {classes}{', ...' if len(job.table) > 20 else ''}",
                f"output   {job.options.output.path} with {products}",
            ]
        )


def make_plan(options: RunOptions, run: str, *, say: Callable[[str], None]) -> Plan:
    """Checks a command and resolves it.

    Args:
        options: As parsed.
        run: This run's name.
        say: Tells the user what was found out.

    Raises:
        RunError: Anything about the command is wrong.
    """
    options = absolute_options(options)
    inputs = describe_inputs(options.read)
    model = recognise(options.model.path)
    check_digest(model, options.model.sha256)
    if options.label.classes:
        read_class_table(options.label.classes, read=read_file)
    stored = stored_record(options.output.path)
    probe = _known_probe(stored, options.model, model) or _find_probe(options.model, model)
    for line in probe.evidence:
        say(f"  {line}")
    job = make_job(options, run, probe, _class_table(options, probe, say))
    _check_settings(job, stored)
    return Plan(job, inputs, model, stored)


def absolute_options(options: RunOptions) -> RunOptions:
    """The same options with paths as they read from any working directory: they identify images from run to run."""
    read, output = options.read, options.output
    root = read.id_root and absolute(read.id_root)
    return replace(
        options,
        read=replace(read, patterns=tuple(map(absolute, read.patterns)), id_root=root),
        model=replace(options.model, path=absolute(options.model.path)),
        output=replace(output, path=absolute(output.path).rstrip("/")),
    )


def read_file(path: str) -> bytes:
    """A file that the user named, local or not."""
    try:
        return open_storage(path).read(absolute(path))
    except NotFound:
        raise RunError(f"there is no file {path}") from None


def stored_record(output: str) -> dict[str, Any] | None:
    """What the last run left about itself in an output; None in a new one.

    Raises:
        RunError: There is a record that cannot be read.
    """
    storage = open_storage(output)
    try:
        return dict(json.loads(storage.read(f"{output}/{RECORD}")))
    except NotFound:
        return None
    except (ValueError, TypeError):
        raise RunError(f"{output}/{RECORD} is damaged; remove it to do everything again under --overwrite") from None


def record_of(job: Job) -> bytes:
    """What a run leaves about itself in its output."""
    record = {
        "settings": job.settings,
        "probe": json.loads(job.probe.to_json()),
        "model_options": _model_options(job.options.model),
    }
    return json.dumps(record, indent=1, sort_keys=True).encode()


def _model_options(options: ModelOptions) -> dict[str, Any]:
    return dict(json.loads(json.dumps(asdict(replace(options, path="")))))


def _known_probe(stored: dict[str, Any] | None, options: ModelOptions, model: ModelFile) -> Probe | None:
    if stored is None or stored.get("model_options") != _model_options(options):
        return None
    probe = Probe.from_json(json.dumps(stored["probe"]))
    return probe if probe.digest == model.digest else None


def _find_probe(options: ModelOptions, model: ModelFile) -> Probe:
    return probe_model(loaded_model(options, model.digest), options, digest=model.digest)


def _class_table(options: RunOptions, probe: Probe, say: Callable[[str], None]) -> ClassTable:
    spec, classes = options.label.classes, probe.head.classes
    if classes is None:
        if spec is None:
            raise RunError("the model gives class ids, so its number of classes is not known: say it with --classes")
        table = read_class_table(spec, read=read_file)
    else:
        table = load_class_table(spec, channels=classes, read=read_file, sigmoid=probe.head.kind in BINARY)
    for note in table.notes:
        say(f"  classes: {note}")
    return table


def _check_settings(job: Job, stored: dict[str, Any] | None) -> None:
    if stored is None or job.options.output.overwrite:
        return
    found = differences(job.settings, stored.get("settings", {}))
    if found:
        raise RunError(
            f"{job.options.output.path} holds masks that were made otherwise: {'; '.join(found)}. Choose another "
            "--output, or do everything again with --overwrite"
        )


def check_output(path: str) -> None:
    """Makes sure that the output can be written, before anything is computed.

    Raises:
        RunError: It cannot.
    """
    if is_gcs(path) and path.count("/") < 3:
        raise RunError(f"--output {path} is a whole bucket; name a folder in it")
