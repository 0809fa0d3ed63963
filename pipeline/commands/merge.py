"""`maskbeam merge`: the reports over all parts of a job.

A part leaves masks, and each mask tells all of its image. So the whole job is run once more, finds every image done,
and reports as a run that was never divided; what a part did not get done is done now.
"""

from collections.abc import Callable

from maskbeam.pipeline.cli.stored_options import options_of_merge
from maskbeam.pipeline.options import RunOptions
from maskbeam.pipeline.output.parts import read_options
from maskbeam.pipeline.run import run
from maskbeam.pipeline.storage import absolute, open_storage
from maskbeam.transforms.errors import RunError


def merge(output: str, options: RunOptions | None = None, *, run: Callable[[RunOptions], int] = run) -> int:
    """Writes the reports and `_SUCCESS` of a job whose parts are all done.

    Args:
        output: The folder that the parts wrote into.
        options: Those typed beside it: flags of a run that a merge takes, too, and Beam's.
        run: Runs the whole job; tests pass one with an engine of their own.

    Returns:
        The command's exit code.

    Raises:
        RunError: Parts are missing, do not belong together, or trusted their model and nobody says so here.
    """
    output = absolute(output).rstrip("/")
    try:
        whole = options_of_merge(read_options(open_storage(output), output), options or RunOptions(), output)
    except ValueError as error:
        raise RunError(f"{output}/parts is damaged: {error}; remove it, and run all parts again") from None
    return run(whole)
