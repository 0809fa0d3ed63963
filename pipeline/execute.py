"""Runs a pipeline on its engine, and turns what the engine says into what a person can use."""

import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from pipeline.causes import cause_of
from pipeline.engine_flags import with_defaults
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
    standard = options.view_as(StandardOptions)
    if standard.runner in (None, "DirectRunner"):
        standard.runner = LOCAL_RUNNER
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
    runner = PipelineOptions(list(flags)).view_as(StandardOptions).runner
    return runner in (None, "DirectRunner", LOCAL_RUNNER)


@contextmanager
def stopping_on_signals(
    say: Callable[[str], None], clean_up: Callable[[], None], *, goes_on: bool = False
) -> Iterator[None]:
    """Within this context SIGINT and SIGTERM end the process at once, with exit code 130 or 143.

    Files are complete or absent at any moment, so there is nothing to wait for; an engine's threads could not be
    stopped anyway.

    Args:
        say: Tells the person at the terminal what that means.
        clean_up: Called after that.
        goes_on: Whether the job may go on without this process.
    """
    rest = (
        "that ends the command and not the job, which may go on on its cluster: stop it there if you want to. The "
        "same command is refused until a minute after the job has ended; then it does what is missing"
        if goes_on
        else "the same command goes on where this one stopped"
    )

    def stop(number: int, _: FrameType | None) -> None:
        say(f"stopped by {signal.Signals(number).name}; {rest}")
        clean_up()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(128 + number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
