"""Writes a scene's files: its products, the names of its classes, and last its mask, which carries the record."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from maskbeam.pipeline.inputs.ids import encode_id
from maskbeam.pipeline.output.blocks import Blocks, SavedImage
from maskbeam.pipeline.output.claim import Claim, Record, claim_text, record_metadata, record_text
from maskbeam.pipeline.output.failures import forget_failure
from maskbeam.pipeline.output.geotiff.cog import making_cog
from maskbeam.pipeline.output.geotiff.files import SceneFile, files_of
from maskbeam.pipeline.output.geotiff.overlay import PATH as OVERLAY
from maskbeam.pipeline.output.geotiff.overlay import SceneOverlay
from maskbeam.pipeline.output.grids import grid_record
from maskbeam.pipeline.output.outcome import Outcome, worker_name
from maskbeam.pipeline.output.tree import Tree
from maskbeam.pipeline.output.write import File, Placed, done_by, is_older, lost, mattered, put, put_file
from maskbeam.transforms.argmax import Labeling
from maskbeam.transforms.classes.class_table import ClassTable
from maskbeam.transforms.codecs.aux_xml import AUX_EXTENSION, Shown, encode_aux
from maskbeam.transforms.elements import Labels, Origin
from maskbeam.transforms.errors import ImageError
from maskbeam.transforms.measures.counted import Counted, count
from maskbeam.transforms.products.rendering import Rendering

_Blocks = Callable[[], Iterator[Labels]]
# Of a file: its path, and what writes it and gives its size.
_Writing = tuple[str, Callable[[], tuple[Placed, int]]]


@dataclass(frozen=True)
class WriteScene:
    """Writes all files of an image, GeoTIFFs but for overlays, its record last: of whole labels, or of saved blocks.

    Raises:
        RunError: The storage refuses, or the disk for temporary files is full.
    """

    tree: Tree
    rendering: Rendering
    labeling: Labeling
    table: ClassTable
    blocks: Blocks
    overlay: SceneOverlay

    def __call__(self, element: Labels | SavedImage) -> Outcome:
        try:
            return self._write(element)
        except ImageError:
            # One that is among the input twice is done, and its blocks are gone, when its turn comes again.
            if isinstance(element, SavedImage) and (outcome := done_by(self.tree, element.origin)):
                return outcome
            raise

    def _write(self, element: Labels | SavedImage) -> Outcome:
        blocks, counted = self._blocks(element), self._counted(element)
        origin, claim = element.origin, self.tree.claim(element.source)
        forget_failure(self.tree, origin.source)
        sizes: dict[str, int] = {}
        *products, mask = files_of(origin, self.rendering, self.labeling)
        for path, write in self._products(origin, products, blocks, claim):
            placed, sizes[path] = write()
            if placed.kept_by is not None:
                return lost(origin.image_id, origin.source, placed.kept_by, claim)
        if not self.labeling.has_planes:
            aux = File(f"{mask.path}{AUX_EXTENSION}".format(encode_id(origin.image_id)), self._names(claim))
            sizes[f"{mask.path}{AUX_EXTENSION}"] = len(aux.data)
            put(self.tree, aux, claim)
        text = record_text(self._record(origin, claim, counted, sizes))
        placed, _ = self._put(origin, mask, blocks, text, claim, record_metadata(text))
        if placed.kept_by is not None:
            return lost(origin.image_id, origin.source, placed.kept_by, claim)
        updated = placed.replaced is not None and is_older(placed.replaced, claim)
        name, grid = worker_name(), grid_record(origin.grid)
        return Outcome(origin.image_id, origin.source, *origin.size, counted, updated=updated, worker=name, grid=grid)

    def redraw_overlay(self, origin: Origin, record: Record, blocks: _Blocks) -> Claim | None:
        """Draws the overlay of an image that has all else, and writes its mask again, for that carries the record.

        Args:
            origin: The image.
            record: As its mask has it.
            blocks: Gives the labels of that mask, piece by piece.

        Returns:
            The claim of another source that has taken the image's name meanwhile; None when all is well.
        """
        placed, size = self._put_overlay(origin, blocks, record.claim)
        if placed.kept_by is not None:
            return placed.kept_by
        drawn = {kind: digest for kind, digest in self.tree.drawing if kind in self.rendering.products}
        text = record_text(replace(record, products={OVERLAY: size, **_without_overlay(record)}, drawn=drawn))
        mask = files_of(origin, self.rendering, self.labeling)[-1]
        return self._put(origin, mask, blocks, text, record.claim, record_metadata(text))[0].kept_by

    def _products(self, origin: Origin, files: list[SceneFile], blocks: _Blocks, claim: Claim) -> Iterator[_Writing]:
        """The products of an image: the path of each, and what writes it."""
        if "overlay" in self.rendering.products:
            yield OVERLAY, partial(self._put_overlay, origin, blocks, claim)
        for file in files:
            yield file.path, partial(self._put, origin, file, blocks, claim_text(claim), claim)

    def _put_overlay(self, origin: Origin, blocks: _Blocks, claim: Claim) -> tuple[Placed, int]:
        parts = ((labels.region, labels.pixels) for labels in blocks())
        data = self.overlay(origin, parts, claim_text(claim))
        return put(self.tree, File(OVERLAY.format(encode_id(origin.image_id)), data), claim), len(data)

    def _blocks(self, element: Labels | SavedImage) -> _Blocks:
        if isinstance(element, Labels):
            return lambda: iter([element])
        return lambda: map(self.blocks.labels, element.blocks)

    def _counted(self, element: Labels | SavedImage) -> Counted:
        if isinstance(element, Labels):
            return count(element, self.table.ids)
        # Of blocks their records tell it: none is decoded for this.
        counts = [self.blocks.counted(block) for block in element.blocks]
        return sum(counts[1:], counts[0])

    def _put(
        self,
        origin: Origin,
        file: SceneFile,
        blocks: _Blocks,
        text: Mapping[str, str],
        claim: Claim,
        metadata: Mapping[str, str] | None = None,
    ) -> tuple[Placed, int]:
        """Makes a GeoTIFF on a disk of this machine and writes it; how that ended, and its size."""
        with making_cog(file.layout) as cog:
            for labels in blocks():
                valid = file.valid(labels) if file.valid else None
                cog.write(file.pixels(labels), labels.region, valid=valid)
            made: Path = cog.finish(text)
            path = file.path.format(encode_id(origin.image_id))
            return put_file(self.tree, path, made, claim, text=text, metadata=metadata), made.stat().st_size

    def _names(self, claim: Claim) -> bytes:
        return encode_aux((Shown(c.id, c.name, c.color) for c in self.table.classes), text=claim_text(claim))

    def _record(self, origin: Origin, claim: Claim, counted: Counted, sizes: dict[str, int]) -> Record:
        how = {kind: digest for kind, digest in self.tree.drawing if kind in self.rendering.products}
        options, grid = mattered(self.tree, origin, counted), grid_record(origin.grid)
        return Record(claim, *origin.size, counted.to_json(), sizes, options=options, drawn=how, grid=grid)


def _without_overlay(record: Record) -> dict[str, int]:
    return {path: size for path, size in record.products.items() if path != OVERLAY}
