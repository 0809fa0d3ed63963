"""Blocks of an image that are done, saved in the output: what is done of a large image outlives its process.

A block's file is a mask with a record, like that of an image: its confidence, where that is kept, is below its
labels, and of independent classes one plane is below the other. It lies in `.blocks`, in a folder named after its
image's id and its source's place, until the image's mask stands.
"""

import hashlib
from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from apache_beam.pvalue import TaggedOutput

from maskbeam.pipeline.output.claim import TEXT_KEY, Record, parse_record, record_text
from maskbeam.pipeline.output.ours import BLOCKS, delete_below
from maskbeam.pipeline.output.tree import Tree, reading_output
from maskbeam.pipeline.output.write import File, done_by, mattered, put
from maskbeam.pipeline.storage import NotFound
from maskbeam.transforms.argmax import Labeling
from maskbeam.transforms.codecs.encode import is_whole
from maskbeam.transforms.codecs.png import PNG
from maskbeam.transforms.elements import Array, FailedImage, Labels, OfImage, Origin, Region, Source
from maskbeam.transforms.errors import Code, ImageError
from maskbeam.transforms.measures.confidence import CONFIDENCE
from maskbeam.transforms.measures.counted import Counted, count
from maskbeam.transforms.measures.nonfinite import NONFINITE
from maskbeam.transforms.products.registry import product_names, products_of
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

    def save(self, block: Labels | FailedImage) -> SavedBlock | FailedImage:
        """Writes the file of a block; what has failed, or fails here, is passed on.

        Raises:
            RunError: As `put` does.
        """
        if isinstance(block, FailedImage):
            return block
        try:
            return self._save(block)
        except ImageError as error:
            return FailedImage(block.origin, error.code, error.reason)

    def _save(self, block: Labels) -> SavedBlock:
        claim, counted = self.tree.claim(block.source), count(block, self.labeling.channel_ids)
        record = Record(
            claim,
            *block.region.size,
            counted.to_json(),
            options=mattered(self.tree, block.origin, counted),
            drawn=self._measured,
        )
        data = PNG.encode(_packed(block), text=record_text(record))
        put(self.tree, File(_path(block.origin, block.region), data), claim)
        of = len(self.tiling.layout(block.origin.size).blocks)
        return SavedBlock(block.origin, block.region, of, block.image)

    def saved(
        self, origin: Origin, layout: Layout, numbers: Container[int] | None = None
    ) -> Mapping[int, SavedBlock]:
        """The blocks of an image, by number, that an earlier run or attempt has done as this one would.

        Args:
            origin: The image.
            layout: Its division.
            numbers: Those that are asked for, and no others are read; None: all.
        """
        if next(iter(self.tree.storage.list(self._folder(origin))), None) is None:
            return {}
        asked = (block for block in layout.blocks if numbers is None or block.number in numbers)
        blocks = {block.number: SavedBlock(origin, block.region, len(layout.blocks)) for block in asked}
        return {number: block for number, block in blocks.items() if self._read(block) is not None}

    def all_saved(self, origin: Origin) -> SavedImage | None:
        """An image if files of all its blocks are there, by their names alone; else None."""
        layout = self.tiling.layout(origin.size)
        held = {listed.uri for listed in self.tree.storage.list(self._folder(origin))}
        blocks = tuple(SavedBlock(origin, block.region, len(layout.blocks)) for block in layout.blocks)
        is_whole = all(self.tree.uri(_path(origin, block.region)) in held for block in blocks)
        return SavedImage(origin, blocks) if is_whole else None

    def together(self, image: SavedImage) -> Any:
        """Puts the `Labels` of an image together, from the files of all its blocks.

        Returns:
            The labels; or an `Outcome`, at the tag `outcome`, where the same image was finished elsewhere meanwhile:
            it is among the input twice.

        Raises:
            ImageError: `OUTPUT_BLOCKED`: a file is gone, or is not what was written.
        """
        try:
            whole = joined(map(self.labels, image.blocks))
        except ImageError:
            if outcome := done_by(self.tree, image.origin):
                return TaggedOutput("outcome", outcome)
            raise
        if whole is None:
            raise ValueError("an image has blocks")
        return whole

    def labels(self, block: SavedBlock) -> Labels:
        """The labels of a block that was saved; raises as `together`."""
        found = self._read(block)
        if found is None:
            raise _altered()
        return found

    def counted(self, block: SavedBlock) -> Counted:
        """All that was counted of a block that was saved, by its record; raises as `together`."""
        held = self._held(block)
        if held is None:
            raise _altered()
        return Counted.from_json(held[1].statistics)

    def remove(self, image_id: str, source: Source) -> None:
        """Removes the blocks of an image, once they are of no use."""
        delete_below(self.tree, BLOCKS, folder_of_blocks(image_id, source.place))

    @property
    def _measured(self) -> dict[str, str]:
        """The digests of how confidence is measured, where it is kept: no fingerprint tells it."""
        kept = {each.name for each in products_of(product_names()) if each.needs_confidence}
        return {kind: digest for kind, digest in self.tree.drawing if self.labeling.keep_confidence and kind in kept}

    def _is_as_now(self, record: Record, source: Source) -> bool:
        """True if a block was made as it would be now."""
        now = dict(self.tree.of_images)
        same = all(now.get(flag) == was for flag, was in record.options.items()) and record.drawn == self._measured
        return same and record.claim.same_work(self.tree.claim(source))

    def _folder(self, origin: Origin) -> str:
        return self.tree.uri(f"{BLOCKS}/{folder_of_blocks(origin.image_id, origin.source.place)}") + "/"

    def _read(self, block: SavedBlock) -> Labels | None:
        """A block as it was saved; None where it is not there, not whole, or of other work."""
        held = self._held(block)
        if held is None:
            return None
        data, record = held
        try:
            return self._labels(block, PNG.decode(data), Counted.from_json(record.statistics))
        except ValueError:
            return None

    def _held(self, block: SavedBlock) -> tuple[bytes, Record] | None:
        """The file of a block and its record; None as of `_read`."""
        try:
            with reading_output():
                data = self.tree.storage.read(self.tree.uri(_path(block.origin, block.region)))
            record = parse_record(PNG.read_text(data).get(TEXT_KEY)) if is_whole(data) else None
        except (NotFound, ValueError):
            return None
        return (data, record) if record and self._is_as_now(record, block.source) else None

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


def _altered() -> ImageError:
    return ImageError(
        Code.OUTPUT_BLOCKED,
        "a block of it that was saved in the output was removed or altered while the run went on; the same command "
        "makes it again",
    )


def folder_of_blocks(image_id: str, place: str) -> str:
    """The name of the folder of an image's blocks: a digest, which tells no name. One source may have several ids."""
    named = f"{place} {image_id}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(named, digest_size=16).hexdigest()


def _path(origin: Origin, region: Region) -> str:
    name = f"{region.top}-{region.left}-{region.height}x{region.width}{PNG.extensions[0]}"
    return f"{BLOCKS}/{folder_of_blocks(origin.image_id, origin.source.place)}/{name}"


def _packed(block: Labels) -> Array:
    """Labels, planes one below the other, and their confidence below them, as one picture `[n, W]`."""
    width = block.region.width
    labels = block.pixels.reshape(-1, width)
    labels = labels.view(np.uint8) if block.are_planes else labels
    return labels if block.confidence is None else np.concatenate([labels, block.confidence.reshape(-1, width)])
