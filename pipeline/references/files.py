"""References that are files: of a folder, `<id>.png` in it, or named by a template."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from maskbeam.pipeline.output.finished_rows import FinishedImage
from maskbeam.pipeline.references.reader import (
    Located,
    ReferenceReader,
    Sampled,
    Wanted,
    drawn_of,
    read_file,
    stat_all,
)
from maskbeam.pipeline.references.template import Template
from maskbeam.pipeline.storage import Storage, absolute, open_storage
from maskbeam.transforms.codecs.registry import image_extension
from maskbeam.transforms.comparison.reference import ReferencePixels, decode_reference
from maskbeam.transforms.errors import RunError

_USUAL: Final = ".png"
# So many files of a folder tell which extension its references have.
_LOOKED_AT: Final = 1000


@dataclass(frozen=True)
class FileReferences(ReferenceReader):
    """Files, one for each image.

    Attributes:
        template: Their names.
        flag: The option that named them, for messages.
    """

    template: Template
    flag: str

    def versions(self, images: Sequence[FinishedImage]) -> Mapping[str, Located]:
        uris = {image.image_id: self.template.uri_of(image.image_id) for image in images}
        found = stat_all(self._storage, uris.values())
        return {image_id: found[uri] for image_id, uri in uris.items() if uri in found}

    def read(self, located: Located) -> ReferencePixels:
        return decode_reference(read_file(self._storage, located))

    def sample(self, rows: Callable[[], Iterable[FinishedImage]], most: int, seed: int) -> Sampled:
        listed = self._storage.list(self.template.root + "/")
        named = ((i, each) for each in listed if (i := self.template.id_of(each.uri)) is not None)
        chosen, total = drawn_of(named, most, seed, lambda pair: pair[0])
        return Sampled(tuple((i, Located(each.uri, each.version, each.size)) for i, each in chosen), total)

    @property
    def _storage(self) -> Storage:
        return storage_of(self.template.root, self.flag)


def folder_references(wanted: Wanted) -> FileReferences:
    """The references in a folder: `<id>.png`, or with the extension that most of its images have.

    Raises:
        RunError: There is no such folder, or no image in it.
    """
    word, flag = wanted.where, wanted.flag
    root = absolute(word).rstrip("/") or "/"
    listed = storage_of(root, flag).list(root + "/")
    names = Counter(image_extension(each.uri) for each in islice(listed, _LOOKED_AT))
    names.pop("", None)
    if not names:
        raise RunError(
            f"{flag} {word}: there is no folder with images of labels; name the folder of <id>.png, a template such "
            "as labels/{id}.png, key:NAME, column:NAME, a COCO file or an output of maskbeam"
        )
    ending = _USUAL if names[_USUAL] == max(names.values()) else names.most_common(1)[0][0]
    return FileReferences(Template(root, f"{{id}}{ending}"), flag)


def template_references(wanted: Wanted) -> FileReferences:
    """The references that a template names; RunError where it is none."""
    return FileReferences(Template.parse(wanted.where, wanted.flag), wanted.flag)


def storage_of(uri: str, flag: str) -> Storage:
    """The storage of references; its messages name the flag and no folder, which may be called after a patient."""
    return open_storage(uri, named=flag)
