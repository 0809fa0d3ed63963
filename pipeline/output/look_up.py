"""Images that are done, looked up among objects far away: a page of a listing tells of a thousand at once.

There a mask carries its record twice: inside, and as its object's metadata, which listings show. An object is written
whole, and its metadata with it, so that both say the same. What a listing leaves open is read, as of local files.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam

from maskbeam.pipeline.inputs.ids import encode_id
from maskbeam.pipeline.output.claim import TEXT_KEY, Record, parse_record
from maskbeam.pipeline.output.tree import Tree, reading_output
from maskbeam.pipeline.storage import Listed, NotFound, Storage, is_gcs
from maskbeam.transforms.codecs.codec import END_BYTES, TEXT_BYTES
from maskbeam.transforms.codecs.encode import is_whole, is_whole_file, read_text
from maskbeam.transforms.elements import EncodedImage
from maskbeam.transforms.lookahead import LookAhead

# As many as a chunk of files has, and a page of a listing.
_GROUP = 1000
#: Bytes that the text of any mask or product ends within.
LONG_TEXT = 16 << 20


@dataclass(frozen=True, eq=False)
class LookedUp(EncodedImage):
    """An image, and what listings tell of its outputs.

    Attributes:
        told: Whether `record` is known; else the mask is still to be read.
        record: What the image's mask says; None: there is none.
        sizes: Of products, in bytes, by path; None where there is no such file. Others are still to be asked for.
    """

    told: bool = False
    record: Record | None = None
    sizes: Mapping[str, int | None] = field(default_factory=dict)


@dataclass(frozen=True)
class LookUpAll:
    """Looks up a group of images; nothing is kept from one group to the next."""

    tree: Tree

    def __call__(self, images: Sequence[EncodedImage]) -> list[LookedUp]:
        uris = [_record_uri(self.tree, image.image_id) for image in images]
        listed = self.tree.storage.look_up(uris)
        records = [_record_of(listed.get(uri)) for uri in uris]
        files = [
            record.files(encode_id(image.image_id)) if record else {}
            for image, record in zip(images, records, strict=True)
        ]
        sizes = self._sizes(
            path
            for record, paths in zip(records, files, strict=True)
            if record and record.claim.fingerprint == self.tree.fingerprint
            for path in paths
        )
        return [
            LookedUp(
                **vars(image),
                told=record is not None or (uri in listed and listed[uri] is None),
                record=record,
                sizes={path: sizes[path] for path in paths if path in sizes},
            )
            for image, uri, record, paths in zip(images, uris, records, files, strict=True)
        ]

    def _sizes(self, paths: Iterable[str]) -> dict[str, int | None]:
        by_uri = {self.tree.uri(path): path for path in paths}
        listed = self.tree.storage.look_up(by_uri)
        return {by_uri[uri]: found.size if found else None for uri, found in listed.items()}


class LookUp(beam.PTransform[Any, Any]):
    """Encoded images to the same ones, `LookedUp` where the output is far away."""

    def __init__(self, tree: Tree) -> None:
        super().__init__()
        self._tree = tree

    def expand(self, images: Any) -> Any:
        if not is_gcs(self._tree.root):
            return images
        looked_up = LookAhead(together=LookUpAll(self._tree), output_type=EncodedImage, group=_GROUP, waits=True)
        return (images | "Look up groups" >> looked_up).main


def held_record(tree: Tree, image: EncodedImage) -> Record | None:
    """The record that an image's mask carries, or None where there is no whole mask with a record.

    Of a local mask that is larger only both ends are read: most of a rerun over millions that are done is this.

    Raises:
        ImageError: `OUTPUT_BLOCKED`: the mask cannot be read.
    """
    if isinstance(image, LookedUp) and image.told:
        return image.record
    try:
        with reading_output():
            text = whole_text(tree.storage, _record_uri(tree, image.image_id))
    except NotFound:
        return None
    return parse_record(text.get(TEXT_KEY))


def whole_text(storage: Storage, uri: str) -> dict[str, str]:
    """The text of a mask or product; nothing where it is cut off. Of a scene's little is read, whatever its size.

    Raises:
        NotFound: There is no such file.
    """
    # Again before it is called cut off: of parts of an object no checksum is kept.
    return _whole_text(storage, uri) or _whole_text(storage, uri)


def _whole_text(storage: Storage, uri: str) -> dict[str, str]:
    head, tail = storage.read_ends(uri, head=TEXT_BYTES, tail=END_BYTES)
    found = storage.stat(uri) if len(head) == TEXT_BYTES else None
    if found is None:
        return read_text(head) if is_whole(head) else {}
    size = found.size

    def fetch(start: int, end: int) -> bytes:
        if end <= len(head):
            return head[start:end]
        if start >= size - len(tail):
            return tail[start - size + len(tail) : end - size + len(tail)]
        with storage.open(uri, start=start, end=end) as stream:
            return stream.read()

    # Tables of thousands of classes make records that are longer.
    text = read_text(head) or read_text(fetch(0, LONG_TEXT))
    return text if is_whole_file(fetch, size) else {}


def product_size(tree: Tree, image: EncodedImage, path: str) -> int | None:
    """The size of a product of an image, in bytes, or None where there is no such file."""
    if isinstance(image, LookedUp) and path in image.sizes:
        return image.sizes[path]
    found = tree.storage.stat(tree.uri(path))
    return found.size if found else None


def _record_uri(tree: Tree, image_id: str) -> str:
    return tree.uri(tree.record.format(encode_id(image_id)))


def _record_of(mask: Listed | None) -> Record | None:
    return parse_record(mask.metadata.get(TEXT_KEY)) if mask and mask.metadata else None
