"""Runs a pipeline on its engine, and turns what the engine says into what a person can use."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from maskbeam.pipeline.runners.explain import cause_of
from maskbeam.pipeline.runners.flink import runner_of, with_defaults
from maskbeam.pipeline.runners.local import LOCAL_RUNNER
from maskbeam.transforms.errors import MaskbeamError, TooManyFailuresError
from maskbeam.transforms.garbage import started


class ExecutionError(MaskbeamError):
    """The run ended early, after work had started; `exit_code` is the command's."""

    def __init__(self, message: str, *, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def execute(flags: Sequence[str], build: Callable[[beam.Pipeline], Any]) -> None:
    """Builds the graph and runs it to its end.

    Args:
        flags: Beam's own flags.
        build: Adds the graph to a pipeline.

    Raises:
        ExecutionError: It did not get to its end; the message is the first cause, without the engine's traceback.
    """
    options = PipelineOptions(with_defaults(flags))
    if runner_of(options) in ("", "directrunner"):
        options.view_as(StandardOptions).runner = LOCAL_RUNNER
    pipeline = beam.Pipeline(options=options)
    build(pipeline)
    started()
    try:
        pipeline.run().wait_until_finish()
    except Exception as error:
        logging.getLogger(__name__).debug("the engine's own account", exc_info=True)
        too_many = TooManyFailuresError.__name__ in f"{type(error).__name__}: {error}"
        raise ExecutionError(cause_of(error), exit_code=3 if too_many else 1) from error
