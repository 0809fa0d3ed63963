"""Calls that a watchdog looks after: what is noted and said of them when they do not come back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pipeline.output.failures import SUSPECT, leave_note
from pipeline.output.tree import Tree
from pipeline.reports.wording import duration
from pipeline.sentinel import HANG, NEXT_TIME, Fault
from transforms.elements import EncodedImage, Failure, ModelInput, Source

# A first call may compile the model for its shape; so long may each step take, too, before there are images.
FIRST_CALL_SECONDS = 900.0


class Watched(Protocol):
    """A call that is watched; it can be pickled."""

    @property
    def what(self) -> str:
        """`decoder` or `model`."""

    def note(self, fault: Fault = HANG) -> str:
        """Notes that the call does not come back, and says it in words."""

    def suspect(self) -> int:
        """Notes each image as a suspect; their number."""

    def remind(self, seconds: float) -> str:
        """What a person is told who waits for it since so many seconds; empty for nothing."""


@dataclass(frozen=True)
class Call:
    """A call on images.

    Attributes:
        tree: Where to note that it does not come back.
        what: `decoder` or `model`.
        sources: The images, by id.
    """

    tree: Tree
    what: str
    sources: tuple[tuple[str, Source], ...]

    def note(self, fault: Fault = HANG) -> str:
        doing = f"the {self.what} {fault.verb} on"
        if len(self.sources) > 1:
            return f"{doing} {self.suspect()} images; {NEXT_TIME}"
        self._leave(fault.code, fault)
        noted = f"noted as failed/{self.sources[0][1].place}.json"
        return f"{doing} an image, {noted}. The same command goes on without it."

    def suspect(self) -> int:
        self._leave(SUSPECT)
        return len(self.sources)

    def remind(self, seconds: float) -> str:
        return ""

    def _leave(self, code: str, fault: Fault = HANG) -> None:
        for image_id, source in self.sources:
            leave_note(self.tree, Failure(image_id, source, code, fault.reason.format(self.what)))


@dataclass(frozen=True)
class Step:
    """What is done with the model before there are images.

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


def call_on(tree: Tree, what: str, images: Sequence[EncodedImage | ModelInput]) -> Call:
    """What is known of a call of a decoder or a model on these images."""
    return Call(tree, what, tuple((image.image_id, image.source) for image in images))
