"""Blocks of an image that are done, saved in the output: what is done of a large image outlives its process.

A block's file is a mask with a record, like that of an image: its confidence, where that is kept, is below its
labels, and of independent classes one plane is below the other. It lies in `.blocks`, in a folder named after its
source's place, until the image's mask stands.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from maskbeam.pipeline.output.claim import TEXT_KEY, Record, parse_record, record_text
from maskbeam.pipeline.output.ours import BLOCKS, delete_below
from maskbeam.pipeline.output.tree import Tree, reading_output
from maskbeam.pipeline.output.write import File, put
from maskbeam.pipeline.storage import NotFound
from maskbeam.transforms.argmax import Labeling
from maskbeam.transforms.codecs.png import PNG
from maskbeam.transforms.elements import Array, Labels, OfImage, Origin, Region
from maskbeam.transforms.errors import Code, ImageError
from maskbeam.transforms.measures.confidence import CONFIDENCE
from maskbeam.transforms.measures.counted import Counted, count
from maskbeam.transforms.measures.nonfinite import NONFINITE
from maskbeam.transforms.tiling.join import joined
from maskbeam.transforms.tiling.layout import Layout, Tiling


@dataclass(frozen=True, eq=False)
class SavedBlock(OfImage):
    """A block that is saved: where it lies, and of how many it is one; the last one has the image for overlays."""

    region: Region
    of: int
    image: Array | None = None


@dataclass(frozen=True, eq=False)
class SavedImage(OfImage):
    """An image all of whose blocks are saved."""

    blocks: tuple[SavedBlock, ...]


@dataclass(frozen=True)
class Blocks:
    """Saves blocks of a job's images, finds them again, and puts them together.

    Attributes:
        tree: The output.
        labeling: What labels are.
        tiling: How images are divided.
    """

    tree: Tree
    labeling: Labeling
    tiling: Tiling

    def save(self, block: Labels) -> SavedBlock:
        """Writes the file of a block.

        Raises:
            ImageError: As `put` does, and RunError.
        """
        claim, counted = self.tree.claim(block.source), count(block, self.labeling.channel_ids)
        text = record_text(Record(claim, *block.region.size, counted.to_json()))
        put(self.tree, File(_path(block.origin, block.region), PNG.encode(_packed(block), text=text)), claim)
        of = len(self.tiling.layout(block.origin.size).blocks)
        return SavedBlock(block.origin, block.region, of, block.image)

    def saved(self, origin: Origin, layout: Layout) -> Mapping[int, SavedBlock]:
        """The blocks of an image, by number, that an earlier run or attempt has done as this one would."""
        folder = self.tree.uri(f"{BLOCKS}/{origin.source.place}") + "/"
        if next(iter(self.tree.storage.list(folder)), None) is None:
            return {}
        blocks = [SavedBlock(origin, block.region, len(layout.blocks)) for block in layout.blocks]
        return {number: block for number, block in enumerate(blocks) if self._read(block) is not None}

    def together(self, image: SavedImage) -> Labels:
        """The labels of an image, from the files of all its blocks.

        Raises:
            ImageError: `OUTPUT_BLOCKED`: a file is gone, or is not what was written.
        """
        found = [self._read(block) for block in image.blocks]
        whole = [labels for labels in found if labels is not None]
        if len(whole) < len(found):
            raise ImageError(
                Code.OUTPUT_BLOCKED,
                f"{len(found) - len(whole)} of its blocks, which were saved in the output, were removed or altered "
                "while the run went on; the same command makes them again",
            )
        return joined(whole)

    def remove(self, place: str) -> None:
        """Removes the blocks of a source, once they are of no use."""
        delete_below(self.tree, BLOCKS, place)

    def _read(self, block: SavedBlock) -> Labels | None:
        """A block as it was saved; None where it is not there, not whole, or of other work."""
        try:
            with reading_output():
                data = self.tree.storage.read(self.tree.uri(_path(block.origin, block.region)))
            record = parse_record(PNG.read_text(data).get(TEXT_KEY)) if PNG.is_whole(data) else None
            mine = self.tree.claim(block.source)
            if record is None or not record.claim.same_work(mine):
                return None
            return self._labels(block, PNG.decode(data), Counted.from_json(record.statistics))
        except (NotFound, ValueError):
            return None

    def _labels(self, block: SavedBlock, packed: Array, counted: Counted) -> Labels:
        """Labels of what `_packed` gave; ValueError where it is of another shape."""
        rules, confidence = self.labeling, None
        shape = (len(rules.channel_ids), *block.region.size) if rules.has_planes else block.region.size
        if rules.keep_confidence:
            packed, confidence = np.split(packed, 2)
        return Labels(
            block.origin,
            block.region,
            packed.reshape(shape).astype(np.bool_ if rules.has_planes else rules.dtype),
            None if confidence is None else confidence.reshape(shape),
            *counted[CONFIDENCE],
            *counted[NONFINITE],
            image=block.image,
        )


def _path(origin: Origin, region: Region) -> str:
    name = f"{region.top}-{region.left}-{region.height}x{region.width}{PNG.extensions[0]}"
    return f"{BLOCKS}/{origin.source.place}/{name}"


def _packed(block: Labels) -> Array:
    """Labels, planes one below the other, and their confidence below them, as one picture `[n, W]`."""
    width = block.region.width
    labels = block.pixels.reshape(-1, width)
    labels = labels.view(np.uint8) if block.are_planes else labels
    return labels if block.confidence is None else np.concatenate([labels, block.confidence.reshape(-1, width)])
