"""The files that a done scene lacks: overlays are drawn from its mask, piece by piece; all else the model makes."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial

from maskbeam.pipeline.inputs.fetch import fetch_content
from maskbeam.pipeline.inputs.ids import encode_id
from maskbeam.pipeline.inputs.scenes import Scenes, is_raster
from maskbeam.pipeline.output.claim import Claim, Record
from maskbeam.pipeline.output.geotiff.files import paths_of
from maskbeam.pipeline.output.geotiff.write_scene import WriteScene
from maskbeam.pipeline.output.geotiff.written_raster import WrittenRaster, opened
from maskbeam.pipeline.output.look_up import product_size
from maskbeam.pipeline.output.tree import Tree
from maskbeam.transforms.argmax import Labeling
from maskbeam.transforms.elements import EncodedImage, Labels, Origin
from maskbeam.transforms.products.rendering import Rendering


@dataclass(frozen=True)
class CompleteScene:
    """Says what scenes lack; see `maskbeam.pipeline.output.write.Completing`.

    Attributes:
        tree: The output.
        rendering: Which products there are to be.
        labeling: What labels are.
        scenes: Reads rasters.
        write: Writes scenes.
    """

    tree: Tree
    rendering: Rendering
    labeling: Labeling
    scenes: Scenes
    write: WriteScene

    def lacks(self, image: EncodedImage, record: Record) -> frozenset[str]:
        """The folders of files that a scene does not have, or not whole, or not as they would be drawn now."""
        name = encode_id(image.image_id)
        held, wanted = record.files(name), {path.format(name) for path in self._paths}
        broken = {path for path, size in held.items() if product_size(self.tree, image, path) != size}
        drawn = {kind for kind, now in self.tree.drawing if record.drawn.get(kind, now) != now}
        return frozenset(path.partition("/")[0] for path in broken | (wanted - held.keys())) | drawn

    def can_draw(self, lacking: frozenset[str]) -> bool:
        """True of overlays; whatever else a scene lacks is made with its mask."""
        return lacking == {"overlay"}

    def __call__(self, image: EncodedImage, record: Record, lacking: frozenset[str]) -> Claim | None:
        """Draws the overlay; as `Redraw` does, with the same errors."""
        origin = self._origin(image, record)
        with opened(self.tree.uri(self.tree.record.format(encode_id(image.image_id)))) as mask:
            if mask.size != origin.size:
                raise ValueError("the mask has another size than its image")
            return self.write.redraw_overlay(origin, record, partial(_labels, mask, origin))

    def _origin(self, image: EncodedImage, record: Record) -> Origin:
        """The image as it was when its mask was made: of a picture only its content, size and no place."""
        if is_raster(image):
            origin = self.scenes.described(image.origin)
        else:
            fetched = fetch_content(image, self.tree.names)
            origin = replace(fetched.origin, size=(record.height, record.width))
        if origin.source.content != record.claim.content:
            raise ValueError("the source is another one now")
        return origin

    @cached_property
    def _paths(self) -> list[str]:
        return [path for path in paths_of(self.rendering, self.labeling) if path != self.tree.record]


def _labels(mask: WrittenRaster, origin: Origin) -> Iterator[Labels]:
    return (Labels(origin, region, mask.pixels(region)) for region in mask.regions())
