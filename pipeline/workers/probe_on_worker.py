"""The first step of a job whose workers are elsewhere: one of them says how the model is fed and read.

So the command needs neither TensorFlow nor memory for a model, and batches suit the machines that compute them.
"""

import json
import operator
import pickle
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import apache_beam as beam

from maskbeam import __version__
from maskbeam.pipeline.job.plan import engine_asked
from maskbeam.pipeline.models.engines.loader import loaded_model
from maskbeam.pipeline.models.files.model_file import ModelFile
from maskbeam.pipeline.models.probing.probe import Probe, probe_model
from maskbeam.pipeline.options import ModelOptions
from maskbeam.pipeline.runners.execute import ExecutionError, execute
from maskbeam.pipeline.runners.registry import runner_of
from maskbeam.pipeline.storage import Conflict, open_storage
from maskbeam.pipeline.workers.check_worker import check_sees, check_version
from maskbeam.transforms.errors import RunError


def probe_on_worker(
    options: ModelOptions, model: ModelFile, *, flags: Sequence[str], output: str, sign: str, answer: str
) -> Probe:
    """Runs a job of one step, which loads a model and runs it on a probe batch.

    Args:
        options: What the user says of the model.
        model: As the command sees it.
        flags: Beam's own, which say where the job runs.
        output: The output folder.
        sign: A file in it that is there.
        answer: A file in it that is not there yet, for what the worker has found.

    Returns:
        The probe, its engine and batch size included.

    Raises:
        RunError: As of `probe_model`; or the workers do not see the output or the model, or are not fit for it.
    """
    ask = AskWorker(options, model.digest, __version__, output, sign, answer)
    try:
        execute([*flags, *runner_of(flags).one_worker], partial(_graph, ask=ask))
    except ExecutionError as error:
        raise RunError(str(error)) from error
    storage = open_storage(output)
    found = json.loads(storage.read(answer))
    storage.delete(answer)
    if "error" in found:
        raise RunError(found["error"])
    return Probe.from_json(found["probe"])


def _graph(root: beam.Pipeline, *, ask: "AskWorker") -> Any:
    # Packed, so that a worker without maskbeam fails at its first element: one that cannot set up a step is silent,
    # and the runner waits minutes for it.
    packed = root | "Model" >> beam.Create([pickle.dumps(ask)])
    return packed | "Unpack" >> beam.Map(pickle.loads) | "Probe" >> beam.Map(operator.call)


@dataclass(frozen=True)
class AskWorker:
    """The task of a worker; attributes as in `probe_on_worker`, and `version`: of the command's maskbeam."""

    options: ModelOptions
    digest: str
    version: str
    output: str
    sign: str
    answer: str

    def __call__(self) -> None:
        storage = open_storage(self.output)
        check_sees(storage, self.sign, self.output)
        try:
            check_version(self.version)
            found = {"probe": probe_and_start(self.options, self.digest).to_json()}
        except RunError as error:
            # It would be the same every time, and a runner tries again whatever fails.
            found = {"error": str(error)}
        # An answer that is there comes from an attempt of which the runner does not know that it ended well.
        with suppress(Conflict):
            storage.write(self.answer, json.dumps(found).encode(), expected=None)


def probe_and_start(options: ModelOptions, digest: str) -> Probe:
    """Probes the model and starts its engine, in this process.

    Raises:
        RunError: The model cannot be used, or is not the one with this SHA-256.
    """
    from maskbeam.pipeline.models.engines.choose_engine import choose_engine, start_engine

    load = partial(loaded_model, options, digest)
    probe = probe_model(load(), options, digest=digest)
    # Neither the engine nor the size of its batches depends on which end the job will use.
    probe = choose_engine(engine_asked(options), load, probe, end="logits", local=False, plain=options.plain_model)
    return start_engine(load, probe, end="logits", mixed_precision=options.mixed_precision)[1]
