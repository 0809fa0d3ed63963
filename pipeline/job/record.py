"""The record of itself that a run leaves in its output."""

import json
from dataclasses import asdict, replace
from typing import Any

from maskbeam.pipeline.job.job import Job
from maskbeam.pipeline.models.files.model_file import ModelFile
from maskbeam.pipeline.models.probing.probe import Probe, other_versions
from maskbeam.pipeline.options import ModelOptions, RunOptions
from maskbeam.pipeline.output.stored_json import parse_stored
from maskbeam.pipeline.output.tree import RECORD
from maskbeam.pipeline.storage import NotFound, open_storage
from maskbeam.transforms.errors import RunError


def stored_record(output: str) -> dict[str, Any] | None:
    """The record that the last run left in an output; None in a new one.

    Raises:
        RunError: There is a record that cannot be read.
    """
    storage, uri = open_storage(output), f"{output}/{RECORD}"
    try:
        record = parse_stored(storage.read(uri))
    except NotFound:
        if storage.stat(uri):
            raise RunError(
                f"{uri} is there and cannot be read; repair the storage, or choose another --output"
            ) from None
        return None
    except ValueError:
        record = None
    if isinstance(record, dict) and isinstance(record.get("settings"), dict):
        return record
    raise damaged_record(uri)


def damaged_record(uri: str) -> RunError:
    """The error of a record that cannot be understood."""
    return RunError(f"{uri} is damaged; remove it to do everything again under --overwrite")


def record_of(job: Job) -> bytes:
    """The record that a run leaves in its output."""
    record = {
        "settings": job.settings,
        # Of a sample nobody can say which inputs are gone.
        "inputs": None if job.options.read.limit is not None else job.tree.inputs,
        "fingerprint": job.fingerprint,
        "drawn_before": dict(job.drawn_before),
        "probe": json.loads(job.probe.to_json()),
        "model_options": model_options(job.options.model),
    }
    return json.dumps(record, indent=1, sort_keys=True).encode()


def model_options(options: ModelOptions) -> dict[str, Any]:
    """The options of a model, its path apart, as JSON values."""
    told = asdict(replace(options, path=""))
    # Newer than outputs that go on: told only where it is said.
    if not options.plain_model:
        del told["plain_model"]
    return dict(json.loads(json.dumps(told)))


def known_probe(stored: dict[str, Any] | None, options: RunOptions, model: ModelFile) -> Probe | None:
    """The probe that an output's record holds, if it is of this model and these options."""
    if stored is None or stored.get("model_options") != model_options(options.model):
        return None
    try:
        probe = Probe.from_json(json.dumps(stored["probe"]))
    except (KeyError, TypeError, ValueError):
        # Another version of maskbeam wrote it: the model is probed again, and its settings are compared as ever.
        return None
    outdated = options.output.overwrite and other_versions(probe)
    return probe if probe.digest == model.digest and not outdated else None
