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
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

from maskbeam.pipeline.job.job import Job
from maskbeam.pipeline.output.lease_file import keep_alive
from maskbeam.pipeline.output.ours import remove_empty
from maskbeam.pipeline.output.outcome import worker_name
from maskbeam.pipeline.output.parts import lock_of
from maskbeam.pipeline.output.tree import Tree, overwrite
from maskbeam.pipeline.storage import Conflict, NotFound, SourceChanged
from maskbeam.pipeline.tally import Counts, CountSource, tally
from maskbeam.pipeline.workers.counts import beat_seconds, progress_folder
from maskbeam.transforms.errors import RunError

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
