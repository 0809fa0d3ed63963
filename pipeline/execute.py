"""Runs a pipeline on its engine, and turns what the engine says into what a person can use."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from pipeline.causes import cause_of
from pipeline.engine_flags import runner_of, with_defaults
from transforms.errors import TooManyFailuresError
from transforms.garbage import started

# Beam's own name `DirectRunner` first tries to download another runner; this is the one it falls back to.
LOCAL_RUNNER = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"


class ExecutionError(Exception):
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


def is_local(flags: Sequence[str]) -> bool:
    """Whether the run's workers are threads of this process."""
    return runner_of(PipelineOptions(list(flags))) in ("", "directrunner", "fnapirunner")
