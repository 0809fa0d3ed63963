"""Sums what the workers of a run have counted."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from maskbeam.pipeline.job.job import Job
from maskbeam.pipeline.output.stored_json import parse_stored
from maskbeam.pipeline.output.tree import Tree
from maskbeam.pipeline.runners.registry import runner_of
from maskbeam.pipeline.storage import Conflict, NotFound, SourceChanged, is_gcs
from maskbeam.pipeline.tally import Counts, CountSource, tally
from maskbeam.transforms.errors import RunError

BEAT_SECONDS = 5.0


# Requests to object storage cost money; still well below what is left of a lease when workers take it over.
GCS_BEAT_SECONDS = 20.0


class WorkersTally:
    """The sum of what this process and all workers of a run have counted, read anew at the pace of heartbeats.

    Args:
        tree: The output.
        run: The run's name.
        own: What this process has counted.
        clock: Seconds, from any start.
    """

    def __init__(
        self, tree: Tree, run: str, *, own: CountSource = tally, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._tree, self._folder = tree, f"{tree.uri(progress_folder(run))}/"
        self._own, self._clock = own, clock
        self._next = clock()
        self._found: dict[str, tuple[str, Counts]] = {}

    def read(self) -> Counts:
        """The sum; a worker that is gone keeps its part in it."""
        if self._clock() >= self._next:
            self._next = self._clock() + beat_seconds(self._tree)
            # A line of progress that is late is no reason to say anything; what storage fails at, workers tell.
            with suppress(RunError, NotFound, Conflict, SourceChanged):
                self._read_news()
        return total([self._own.read(), *(counts for _, counts in self._found.values())])

    def _read_news(self) -> None:
        storage = self._tree.storage
        for listed in storage.list(self._folder):
            if self._found.get(listed.uri, ("",))[0] != listed.version:
                # Where files appear before their content, it is there the next time.
                with suppress(ValueError, TypeError, NotFound):
                    self._found[listed.uri] = (listed.version, Counts(**parse_stored(storage.read(listed.uri))))


def counts_of(job: Job) -> CountSource:
    """The place to look for a job's counts: in this process if its workers are threads of it."""
    flags = job.options.beam
    return tally if runner_of(flags).in_threads(flags) else WorkersTally(job.tree, job.run)


def total(counts: Sequence[Counts]) -> Counts:
    """The sum of several processes' counts."""
    return Counts(*map(sum, zip(*counts, strict=True)))


def progress_folder(run: str) -> str:
    """The folder below the output in which a run's workers write their counts."""
    return f".tmp/{run}/progress"


def beat_seconds(tree: Tree) -> float:
    """The time between two heartbeats."""
    return GCS_BEAT_SECONDS if is_gcs(tree.root) else BEAT_SECONDS
