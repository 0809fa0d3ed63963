"""What a scene that is done lacks: made by the model, never from its mask, for that would be read as a whole."""

from dataclasses import dataclass

from maskbeam.pipeline.inputs.ids import encode_id
from maskbeam.pipeline.output.claim import Claim, Record
from maskbeam.pipeline.output.geotiff.files import files_of
from maskbeam.pipeline.output.look_up import product_size
from maskbeam.pipeline.output.tree import Tree
from maskbeam.transforms.argmax import Labeling
from maskbeam.transforms.codecs.aux_xml import AUX_EXTENSION
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
        held, wanted = record.files(name), {path.format(name) for path in self._paths(image)}
        broken = {path for path, size in held.items() if product_size(self.tree, image, path) != size}
        drawn = {kind for kind, now in self.tree.drawing if record.drawn.get(kind, now) != now}
        return frozenset(path.partition("/")[0] for path in broken | (wanted - held.keys())) | drawn

    def can_draw(self, lacking: frozenset[str]) -> bool:
        """False: whatever a scene lacks is made with its mask."""
        return False

    def __call__(self, image: EncodedImage, record: Record, lacking: frozenset[str]) -> Claim | None:
        raise ValueError("nothing of a scene is drawn without the model")

    def _paths(self, image: EncodedImage) -> list[str]:
        *products, mask = [file.path for file in files_of(image.origin, self.rendering, self.labeling)]
        return products if self.labeling.has_planes else [*products, f"{mask}{AUX_EXTENSION}"]
