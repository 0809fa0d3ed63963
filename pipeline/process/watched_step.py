"""Work that a watchdog looks after: calls, and steps without images."""

from dataclasses import dataclass
from typing import Protocol

from maskbeam.pipeline.process.sentinel import HANG, Fault
from maskbeam.pipeline.text.wording import duration

# A first call may compile the model for its shape; so long may each step take, too, before there are images.
FIRST_CALL_SECONDS = 900.0


class Watched(Protocol):
    """A call that is watched; it can be pickled."""

    @property
    def what(self) -> str:
        """`decoder`, `reader` of a scene, or `model`."""

    def note(self, fault: Fault = HANG) -> str:
        """Notes that the call does not come back, and says it in words."""

    def suspect(self) -> int:
        """Notes each image as a suspect; their number."""

    def remind(self, seconds: float) -> str:
        """A line for a person who waits for it since so many seconds; empty for nothing."""


@dataclass(frozen=True)
class Step:
    """A step that is done with the model before there are images.

    Attributes:
        doing: Such as `loaded`.
    """

    doing: str
    what: str = "model"

    def note(self, fault: Fault = HANG) -> str:
        limit = f" for over {duration(FIRST_CALL_SECONDS)}" if fault is HANG else ""
        return f"the model {fault.verb}{limit} while it is {self.doing}, so no image was done; look at the model"

    def suspect(self) -> int:
        return 0

    def remind(self, seconds: float) -> str:
        limit = duration(FIRST_CALL_SECONDS)
        return f"the model is still being {self.doing}, for {duration(seconds)}; after {limit} it is given up"
