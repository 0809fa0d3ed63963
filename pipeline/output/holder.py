"""The check of everybody who writes for a run: that the run still holds its output."""

import threading
import time
from dataclasses import dataclass, field
from functools import cache

from maskbeam.pipeline.output.lease import Trust, elapsed, held_here
from maskbeam.pipeline.output.lease_file import time_left
from maskbeam.pipeline.storage import open_storage

# Seconds since the epoch; tests set their own.
now = time.time


@dataclass(frozen=True)
class Holder:
    """A run's hold on its output, for all that write for it; can be sent to workers.

    Called before each write. It costs a look at two clocks, and at the lease where nobody has looked for a while, as
    after the process was stopped or the machine slept.

    Attributes:
        uri: Where the lease lies.
        run: The run's name.
        staging: As in `open_storage`.
    """

    uri: str
    run: str
    staging: str

    def __call__(self) -> None:
        """Makes sure that the run may write.

        Raises:
            TakenOverError: Another run has taken the output over, or the lease is gone.
            RunError: The storage refuses, or keeps failing.
        """
        lease = held_here(self.run)
        (lease.check if lease else _watch(self).check)()

    def look(self) -> None:
        """Looks at the lease in any case; errors as above."""
        lease = held_here(self.run)
        (lease.renew if lease else _watch(self).look)()

    def doubt(self) -> None:
        """Has the next call look at the lease."""
        _watch(self).trust.end()


@dataclass
class _Watch:
    """The lease, as a process of a run that is not its command knows it."""

    holder: Holder
    trust: Trust = field(default_factory=lambda: Trust(now))
    looking: threading.Lock = field(default_factory=threading.Lock)

    def check(self) -> None:
        if not self.trust.holds:
            with self.looking:
                if not self.trust.holds:
                    self.look()

    def look(self) -> None:
        holder, looked, since = self.holder, now(), elapsed()
        left = time_left(open_storage(holder.uri, staging=holder.staging), holder.uri, holder.run, clock=now)
        self.trust.begin(looked, since, left)


@cache
def _watch(holder: Holder) -> _Watch:
    return _Watch(holder)
