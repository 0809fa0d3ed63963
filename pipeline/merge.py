"""`maskbeam merge`: the reports over all parts of a job.

A part leaves masks, and each mask tells all of its image. So the whole job is run once more, finds every image done,
and reports as a run that was never divided; what a part did not get done is done now.
"""

import shlex
from collections.abc import Callable
from dataclasses import replace

from pipeline.main import run_options
from pipeline.options import RunOptions
from pipeline.output.parts import read_command
from pipeline.run import run
from pipeline.storage import absolute, open_storage


def merge(output: str, *, run: Callable[[RunOptions], int] = run) -> int:
    """Writes the reports and `_SUCCESS` of a job whose parts are all done.

    Args:
        output: The folder that the parts wrote into.
        run: Runs the whole job; tests pass one with an engine of their own.

    Returns:
        The command's exit code.

    Raises:
        RunError: Parts are missing, or do not belong together.
    """
    output = absolute(output).rstrip("/")
    storage = open_storage(output)
    options = run_options(shlex.split(read_command(storage, output))[2:])
    return run(replace(options, output=replace(options.output, path=output)))
