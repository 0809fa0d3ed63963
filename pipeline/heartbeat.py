"""A sign of life from each worker process of a run whose workers are not threads of the command.

Each writes what it has counted to `OUT/.tmp/<run>/progress/<process>.json`, which the command sums for its progress
line, and renews the run's lease when the command has not done so for a while, because a job may outlive its command.
The counts are attempts: a piece of work that is replayed counts again. Results are the report's business.
"""

import json
import logging
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions

from pipeline.execute import is_local
from pipeline.job import Job
from pipeline.output.lease_file import keep_alive
from pipeline.output.ours import remove_empty
from pipeline.output.outcome import worker_name
from pipeline.output.parts import lock_of
from pipeline.output.stored_json import parse_stored
from pipeline.output.tree import Tree, overwrite
from pipeline.reports.progress import Counts, CountSource, tally
from pipeline.storage import Conflict, NotFound, SourceChanged, is_gcs
from transforms.errors import RunError

BEAT_SECONDS = 5.0
# Requests to object storage cost money; still well below what is left of a lease when workers take it over.
GCS_BEAT_SECONDS = 20.0
# A process that has counted nothing for so long renews no lease: twice what the slowest model may take to begin.
IDLE_SECONDS = 1800.0

T = TypeVar("T")
_log = logging.getLogger(__name__)
_lock = threading.Lock()
_beating: set[str] = set()


@cache
def process_name() -> str:
    """This process; unlike any other, also where containers have host names and process ids in common."""
    return f"{worker_name()}-{secrets.token_hex(4)}"


@dataclass(frozen=True)
class Heartbeat:
    """Hands elements on while the run holds its output.

    The first one starts the heartbeat of its process, unless that is the command's own.

    Attributes:
        tree: The output.
        run: The run's name.
        lock: Where the run's lease lies below the output.
        command: `process_name` of the command.
    """

    tree: Tree
    run: str
    lock: str
    command: str

    @classmethod
    def of(cls, job: Job) -> "Heartbeat":
        """A job's heartbeat; made in the command's process."""
        return cls(job.tree, job.run, lock_of(job.options.read.part), process_name())

    def __call__(self, element: T) -> T:
        if self.run not in _beating:
            self._start()
        if self.tree.hold:
            self.tree.hold()
        return element

    def _start(self) -> None:
        with _lock:
            if self.run in _beating:
                return
            _beating.add(self.run)
        if process_name() != self.command:
            threading.Thread(target=Beats(self).go_on, name="heartbeat", daemon=True).start()


class Beats:
    """The heartbeat of one process.

    Args:
        heartbeat: Of which run.
        name: The process.
        source: What it has counted.
        clock: Seconds since the epoch; tests pass their own.
    """

    def __init__(
        self,
        heartbeat: Heartbeat,
        *,
        name: str = "",
        source: CountSource = tally,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._run, self._tree, self._lock = heartbeat.run, heartbeat.tree, heartbeat.lock
        self._file = f"{progress_folder(self._run)}/{name or process_name()}.json"
        self._source, self._clock = source, clock
        self._written: Counts | None = None
        self._worked = clock()

    def go_on(self) -> None:
        """Beats until the run is over."""
        while self.try_beat():
            time.sleep(beat_seconds(self._tree))

    def try_beat(self) -> bool:
        """A beat; a storage that fails is no reason to end it."""
        try:
            return self.beat()
        except (RunError, NotFound, Conflict, SourceChanged) as error:
            _log.warning("a worker could not write how far it is, trying again: %s", error)
            return True

    def beat(self) -> bool:
        """Writes the counts if there is news, and sees to the lease.

        Returns:
            Whether the run goes on.

        Raises:
            RunError: The storage refuses, or keeps failing.
        """
        counts = self._source.read()
        if counts != self._written:
            overwrite(self._tree, self._file, json.dumps(counts._asdict()).encode())
            self._written, self._worked = counts, self._clock()
        # Looked at after the write: whoever ends the run clears `.tmp` after that, so nothing is left behind.
        if self._is_over():
            self._withdraw()
            return False
        return True

    def _is_over(self) -> bool:
        storage, working = self._tree.storage, self._clock() - self._worked < IDLE_SECONDS
        if storage.stat(self._tree.uri(f"runs/{self._run}.json")):
            return True
        if keep_alive(storage, self._tree.uri(self._lock), self._run, working=working, clock=self._clock):
            return False
        if self._tree.hold:
            self._tree.hold.doubt()
        return True

    def _withdraw(self) -> None:
        self._tree.storage.delete(self._tree.uri(self._file))
        for folder in (progress_folder(self._run), f".tmp/{self._run}", ".tmp"):
            remove_empty(self._tree.root, folder)


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
    """Where to look for a job's counts: in this process if its workers are threads of it."""
    mode = PipelineOptions(list(job.options.beam)).view_as(DirectOptions).direct_running_mode
    in_here = is_local(job.options.beam) and mode != "multi_processing"
    return tally if in_here else WorkersTally(job.tree, job.run)


def total(counts: Sequence[Counts]) -> Counts:
    """The sum of several processes' counts."""
    return Counts(*map(sum, zip(*counts, strict=True)))


def progress_folder(run: str) -> str:
    """Where a run's workers write their counts, below the output."""
    return f".tmp/{run}/progress"


def beat_seconds(tree: Tree) -> float:
    """The time between two heartbeats."""
    return GCS_BEAT_SECONDS if is_gcs(tree.root) else BEAT_SECONDS
