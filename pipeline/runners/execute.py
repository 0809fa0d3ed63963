"""Runs a pipeline on its runner, and turns what the runner says into what a person can use."""

import logging
from collections.abc import Callable, Sequence
from enum import Enum, auto
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from maskbeam.pipeline.exit_codes import ExitCode
from maskbeam.pipeline.runners.explain import cause_of, kinds_in
from maskbeam.pipeline.runners.registry import RUNNERS, runner_of, with_defaults
from maskbeam.pipeline.terminal.logs import silence
from maskbeam.transforms.errors import MaskbeamError, TooManyFailuresError
from maskbeam.transforms.garbage_collection import started


class Executed(Enum):
    """The state of a job when its command is done with it."""

    ENDED = auto()
    HANDED_OVER = auto()


class ExecutionError(MaskbeamError):
    """The run ended early, after work had started; `exit_code` is the command's."""

    def __init__(self, message: str, *, exit_code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def execute(
    flags: Sequence[str],
    build: Callable[[beam.Pipeline], Any],
    *,
    hand_over: Callable[[str], None] | None = None,
) -> Executed:
    """Builds the graph and runs it to its end, or until its runner goes on with it alone.

    Args:
        flags: Beam's own flags.
        build: Adds the graph to a pipeline.
        hand_over: Is told where a person finds a job that was handed over; without it each job is waited for.

    Returns:
        Whether the job has ended; it was handed over only if `hand_over` was called.

    Raises:
        ExecutionError: It did not get to its end; the message is the first cause, without the runner's traceback.
    """
    runner, flags = runner_of(flags), with_defaults(flags)
    options = PipelineOptions(flags)
    options.view_as(StandardOptions).runner = runner.beam_class or options.view_as(StandardOptions).runner
    silence(module for known in RUNNERS for module in known.quiet)
    pipeline = beam.Pipeline(options=options)
    build(pipeline)
    started()
    try:
        result = pipeline.run()
        place = runner.hand_over(flags, result) if hand_over else None
        if hand_over and place is not None:
            hand_over(place)
            return Executed.HANDED_OVER
        result.wait_until_finish()
        return Executed.ENDED
    except Exception as error:
        logging.getLogger(__name__).debug("the runner's own account", exc_info=True)
        too_many = TooManyFailuresError in kinds_in(error)
        raise ExecutionError(cause_of(error), exit_code=ExitCode.TOO_MANY if too_many else ExitCode.FAILED) from error
