"""Counts what passes by on this process's tally, and stops a run that goes wrong from the start."""

from maskbeam.pipeline.output.outcome import Outcome
from maskbeam.pipeline.tally import tally
from maskbeam.transforms.elements import Failure
from maskbeam.transforms.errors import TooManyFailuresError

# How many images a worker looks at before it trusts the input.
FIRST_IMAGES = 1000


def count_outcome(outcome: Outcome) -> Outcome:
    """Counts one image that is done."""
    tally.add(done=1, skipped=int(outcome.skipped), pixels=outcome.height * outcome.width)
    return outcome


def count_failure(failure: Failure, stop_after: int) -> Failure:
    """Counts one failure.

    Raises:
        TooManyFailuresError: `stop_after` of this worker's first 1,000 images have failed.
    """
    counts = tally.add(failed=1)
    if counts.failed >= stop_after and counts.done + counts.failed <= FIRST_IMAGES:
        raise TooManyFailuresError(
            f"{counts.failed} of the first {counts.done + counts.failed} images failed, the last one as "
            f"{failure.code} ({failure.reason}); look at the input, or raise --stop_after_failures"
        )
    return failure
