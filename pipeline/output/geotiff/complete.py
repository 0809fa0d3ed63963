"""The files that a done scene lacks: made by the model, never from its mask, for that would be read as a whole."""

from dataclasses import dataclass
from functools import cached_property

from maskbeam.pipeline.inputs.ids import encode_id
from maskbeam.pipeline.output.claim import Claim, Record
from maskbeam.pipeline.output.geotiff.files import paths_of
from maskbeam.pipeline.output.look_up import product_size
from maskbeam.pipeline.output.tree import Tree
from maskbeam.transforms.argmax import Labeling
from maskbeam.transforms.elements import EncodedImage
from maskbeam.transforms.products.rendering import Rendering


@dataclass(frozen=True)
class CompleteScene:
    """Says what scenes lack; see `maskbeam.pipeline.output.write.Completing`.

    Attributes:
        tree: The output.
        rendering: Which products there are to be.
        labeling: What labels are.
    """

    tree: Tree
    rendering: Rendering
    labeling: Labeling

    def lacks(self, image: EncodedImage, record: Record) -> frozenset[str]:
        """The folders of files that a scene does not have, or not whole, or not as they would be drawn now."""
        name = encode_id(image.image_id)
        held, wanted = record.files(name), {path.format(name) for path in self._paths}
        broken = {path for path, size in held.items() if product_size(self.tree, image, path) != size}
        drawn = {kind for kind, now in self.tree.drawing if record.drawn.get(kind, now) != now}
        return frozenset(path.partition("/")[0] for path in broken | (wanted - held.keys())) | drawn

    def can_draw(self, lacking: frozenset[str]) -> bool:
        """False: whatever a scene lacks is made with its mask."""
        return False

    def __call__(self, image: EncodedImage, record: Record, lacking: frozenset[str]) -> Claim | None:
        raise ValueError("nothing of a scene is drawn without the model")

    @cached_property
    def _paths(self) -> list[str]:
        return [path for path in paths_of(self.rendering, self.labeling) if path != self.tree.record]
