"""Calls that a watchdog looks after: what is noted and said of them when they do not come back."""

from collections.abc import Sequence
from dataclasses import dataclass

from maskbeam.pipeline.output.failures import SUSPECT, leave_note
from maskbeam.pipeline.output.tree import Tree
from maskbeam.pipeline.process.sentinel import HANG, NEXT_TIME, Fault
from maskbeam.transforms.elements import EncodedImage, Failure, ModelInput, Source


@dataclass(frozen=True)
class Call:
    """A call on images.

    Attributes:
        tree: Where to note that it does not come back.
        what: `decoder`, `reader` of a scene, or `model`.
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


def call_on(tree: Tree, what: str, images: Sequence[EncodedImage | ModelInput]) -> Call:
    """A description of a call of a decoder, a reader or a model on these images."""
    # Windows of one image are one.
    return Call(tree, what, tuple(dict.fromkeys((image.image_id, image.source) for image in images)))
