"""Products that are missing, asked for later or to be drawn otherwise: made from the mask, without the model."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from maskbeam.pipeline.inputs.fetch import fetch_content
from maskbeam.pipeline.inputs.ids import encode_id
from maskbeam.pipeline.output.claim import (
    TEXT_KEY,
    Claim,
    Record,
    claim_text,
    parse_claim,
    record_metadata,
    record_text,
)
from maskbeam.pipeline.output.look_up import product_size
from maskbeam.pipeline.output.tree import Tree, reading_output
from maskbeam.pipeline.output.write import File, put
from maskbeam.pipeline.storage import NotFound
from maskbeam.transforms.codecs.encode import decode_mask, encode_mask, read_text
from maskbeam.transforms.elements import Array, EncodedImage, Image, Labels, Region
from maskbeam.transforms.products.registry import product, products_of
from maskbeam.transforms.products.render import patterns, render
from maskbeam.transforms.products.rendering import Rendering
from maskbeam.transforms.resampling.prepare import drawable


@dataclass(frozen=True)
class Redraw:
    """Completes images that are done.

    Attributes:
        tree: The output.
        rendering: Which products there are to be, and how they are drawn.
        planes: Whether classes are independent: such an image has no mask that anything could be drawn from.
        decode: Decodes the image, for overlays.
    """

    tree: Tree
    rendering: Rendering
    planes: bool
    decode: Callable[[EncodedImage], Image]

    def lacks(self, image: EncodedImage, record: Record) -> frozenset[str]:
        """The products that an image does not have, or not whole, or not as they would be drawn now."""
        name = encode_id(image.image_id)
        held, wanted = record.files(name), self._paths(name)
        broken = {path for path, size in held.items() if product_size(self.tree, image, path) != size}
        lacking = broken | (wanted - held.keys()) | _outdated(held, wanted)
        return frozenset(map(_kind, lacking)) | self._drawn_otherwise(record)

    def can_draw(self, lacking: frozenset[str]) -> bool:
        """True if products can be made without the model."""
        return not self.planes and not any(each.needs_confidence for each in products_of(lacking))

    def __call__(self, image: EncodedImage, record: Record, lacking: frozenset[str]) -> Claim | None:
        """Draws what an image lacks, and rewrites its record.

        Returns:
            The claim of another source that has taken the image's name meanwhile; None when all is well.

        Raises:
            ImageError: The image cannot be read or decoded, or an overlay of it is too large for its format.
            ValueError: The mask is damaged, or the source is another one now; nothing was written.
        """
        labels, name = self._labels(image), encode_id(image.image_id)
        pixels = self._pixels(image, record) if self._needs_image(lacking) else None
        rendering = replace(self.rendering, products=lacking & self.rendering.products)
        drawn = render(
            Labels(image.origin, Region.whole(labels.shape), labels, image=pixels),
            rendering,
            text=claim_text(record.claim),
        )
        files = [File(path.format(name), data) for path, data in drawn.items()]
        for path in _outdated(record.files(name), self._paths(name)):
            self._forget(path, record.claim)
        text = record_text(self._completed(image, record, files))
        mask = File(self.tree.record.format(name), encode_mask(labels, text=text), record_metadata(text))
        placed = (put(self.tree, file, record.claim).kept_by for file in [*files, mask])
        return next((kept_by for kept_by in placed if kept_by is not None), None)

    def _completed(self, image: EncodedImage, record: Record, files: Sequence[File]) -> Record:
        name = encode_id(image.image_id)
        sizes = record.files(name) | {file.path: len(file.data) for file in files}
        return replace(
            record,
            products={pattern: sizes[pattern.format(name)] for pattern in self._patterns},
            drawn={kind: digest for kind, digest in self.tree.drawing if kind in self.rendering.products},
        )

    @cached_property
    def _patterns(self) -> list[str]:
        drawn = patterns(self.rendering, planes=self.planes)
        return [pattern for pattern in drawn if pattern != self.tree.record]

    def _needs_image(self, lacking: frozenset[str]) -> bool:
        return any(each.needs_image for each in products_of(lacking & self.rendering.products))

    def _paths(self, name: str) -> set[str]:
        return {pattern.format(name) for pattern in self._patterns}

    def _drawn_otherwise(self, record: Record) -> set[str]:
        drawn = dict(self.tree.drawn_before) | record.drawn
        held = set(map(_kind, record.products))
        return {kind for kind, now in self.tree.drawing if kind in held and drawn.get(kind, now) != now}

    def _labels(self, image: EncodedImage) -> Array:
        try:
            with reading_output():
                data = self.tree.storage.read(self.tree.uri(self.tree.record.format(encode_id(image.image_id))))
            return decode_mask(data)
        except NotFound:
            raise ValueError("the mask is gone") from None

    def _pixels(self, image: EncodedImage, record: Record) -> Array:
        fetched = fetch_content(image, self.tree.names)
        if fetched.source.content != record.claim.content:
            raise ValueError("the source is another one now")
        return drawable(self.decode(fetched))

    def _forget(self, path: str, claim: Claim) -> None:
        """Removes a file that the record lists and no class of today has."""
        uri = self.tree.uri(path)
        try:
            with reading_output():
                ours = parse_claim(read_text(self.tree.storage.read(uri)).get(TEXT_KEY)) == claim
        except NotFound:
            return
        if ours:
            self.tree.storage.delete(uri)


def _outdated(held: Mapping[str, int], wanted: set[str]) -> set[str]:
    """Files of classes that had another name."""
    return {path for path in held.keys() - wanted if product(_kind(path)).is_by_class(planes=False)}


def _kind(path: str) -> str:
    return path.partition("/")[0]
