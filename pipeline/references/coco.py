"""References in a COCO file: instances or panoptic segments."""

import json
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from threading import Lock
from typing import Any, NamedTuple

from maskbeam.pipeline.digests import content_digest
from maskbeam.pipeline.inputs.fetch import MAX_FILE_BYTES
from maskbeam.pipeline.inputs.ids import image_id_of
from maskbeam.pipeline.output.finished_rows import FinishedImage
from maskbeam.pipeline.references.files import storage_of
from maskbeam.pipeline.references.reader import (
    Located,
    ReferenceReader,
    Sampled,
    Wanted,
    drawn_of,
    read_file,
    stat_all,
)
from maskbeam.pipeline.storage import LOST, SourceChanged, Storage, absolute, join
from maskbeam.transforms.classes.class_table import ClassInfo, ClassTable, folded_name
from maskbeam.transforms.codecs.registry import image_extension
from maskbeam.transforms.comparison.coco_annotations import (
    CROWD,
    LARGEST,
    UNLABELLED,
    draw_instances,
    draw_segments,
)
from maskbeam.transforms.comparison.reference import ReferencePixels, decode_reference, unreadable
from maskbeam.transforms.errors import RunError

BACKGROUND = "background"
_INSTALL = "pip install 'maskbeam[export]'"
_lock = Lock()


class CocoFile(NamedTuple):
    """The content of a COCO file: pixels are drawn when they are asked for.

    Attributes:
        images: By the name of each image's file, a packed JSON text: height, width, annotations, PNG.
        by_id: The name of an image's file by the id that it has without its extension.
        categories: Name by id.
        panoptic: Whether annotations are segments of PNGs.
    """

    images: Mapping[str, bytes]
    by_id: Mapping[str, str]
    categories: Mapping[int, str]
    panoptic: bool


@dataclass(frozen=True)
class CocoReferences(ReferenceReader):
    """The annotations of a COCO file; an image without any is unlabelled all over.

    Attributes:
        uri: Of the file.
        version: That it was looked at in.
        flag: The option that named it, for messages.
    """

    uri: str
    version: str
    flag: str

    @property
    def ignored(self) -> tuple[int, ...]:
        return (UNLABELLED, CROWD)

    @property
    def file(self) -> CocoFile:
        """The content of the file, read once for a process; RunError where it is another one now."""
        with _lock:
            return _read(self.uri, self.version, self.flag)

    def table(self, given: ClassTable | None, ours: ClassTable) -> ClassTable:
        """The file's categories, or another table of these, with what is not annotated.

        That is the class called background where the table or the model has one; else it is left out.
        """
        table = given or self._categories()
        own = next((c for c in table.classes if _is_background(c.name)), None)
        name = next((c.name for c in ours.classes if _is_background(c.name)), None)
        if own is not None:
            name = own.name if own.taken_as is None else own.taken_as
        if name is None:
            return table
        row = ClassInfo(len(table), UNLABELLED, "(not annotated)", (0, 0, 0), name)
        return replace(table, classes=(*table.classes, row), shared_colors=True)

    def versions(self, images: Sequence[FinishedImage]) -> Mapping[str, Located]:
        file = self.file
        names = {image.image_id: file.by_id.get(image.image_id, image.image_id) for image in images}
        return self._located({image_id: name for image_id, name in names.items() if name in file.images})

    def read(self, located: Located) -> ReferencePixels:
        told = _unpacked(self.file.images[located.where])
        size = told["height"], told["width"]
        if not self.file.panoptic:
            return draw_instances(size, told["annotations"])
        if not told["png"]:
            return draw_instances(size, [])
        png = Located(_png(self._folder, told), located.version.partition(" ")[2])
        pixels = decode_reference(read_file(self._storage, png)).pixels
        if pixels.ndim != 3:
            raise unreadable("its PNG holds no colours, which panoptic segments are")
        return draw_segments(size, pixels, told["annotations"])

    def sample(self, rows: Callable[[], Iterable[FinishedImage]], most: int, seed: int) -> Sampled:
        chosen, total = drawn_of(self.file.by_id.items(), most, seed, lambda pair: pair[0])
        return Sampled(tuple(sorted(self._located(dict(chosen)).items())), total)

    def _categories(self) -> ClassTable:
        named = enumerate(self.file.categories.items())
        rows = tuple(ClassInfo(n, category, name, (0, 0, 0)) for n, (category, name) in named)
        return ClassTable(rows, self.uri.rpartition("/")[2], shared_colors=True)

    def _located(self, names: Mapping[str, str]) -> dict[str, Located]:
        """By id, the images of these names of files; of segments only those whose PNG is there."""
        images, pngs = self.file.images, {}
        if self.file.panoptic:
            pngs = {image_id: _png(self._folder, _unpacked(images[name])) for image_id, name in names.items()}
        there = stat_all(self._storage, [png for png in pngs.values() if png])
        return {
            image_id: Located(name, _version(images[name], there.get(pngs.get(image_id, ""))))
            for image_id, name in names.items()
            if not pngs.get(image_id) or pngs[image_id] in there
        }

    @property
    def _folder(self) -> str:
        return self.uri.removesuffix(".json")

    @property
    def _storage(self) -> Storage:
        return storage_of(self.uri, self.flag)


def is_coco(word: str) -> bool:
    """True of a JSON file's name."""
    return word.lower().endswith(".json")


def coco_references(wanted: Wanted) -> CocoReferences:
    """The references of a COCO file.

    Raises:
        RunError: There is no such file, it is none of COCO, or pycocotools is missing.
    """
    uri = absolute(wanted.where)
    listed = storage_of(uri, wanted.flag).stat(uri)
    if listed is None:
        raise RunError(f"{wanted.flag} {wanted.where}: there is no such file")
    if listed.size > MAX_FILE_BYTES:
        raise RunError(
            f"{wanted.flag} {wanted.where} has {listed.size >> 20} MiB, over {MAX_FILE_BYTES >> 20}; cut it into "
            "files of fewer images"
        )
    found = CocoReferences(uri, listed.version, wanted.flag)
    if not found.file.panoptic:
        _check_installed(wanted)
    return found


def _check_installed(wanted: Wanted) -> None:
    try:
        import pycocotools.mask  # noqa: F401
    except ImportError:
        raise RunError(f"{wanted.flag} {wanted.where}: COCO files need pycocotools; {_INSTALL}") from None


@lru_cache(maxsize=2)
def _read(uri: str, version: str, flag: str) -> CocoFile:
    try:
        content = json.loads(storage_of(uri, flag).read(uri, version=version))
        return _parsed(content)
    except LOST:
        raise RunError(f"{flag}: {uri} is gone, or may not be read") from None
    except SourceChanged:
        raise RunError(f"{flag}: {uri} was altered meanwhile; run again when nobody writes to it") from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        what = f"{type(error).__name__}: {error}"[:80]
        raise RunError(f"{flag}: {uri} is no COCO file with images, annotations and categories ({what})") from None


def _parsed(content: Mapping[str, Any]) -> CocoFile:
    categories = {int(each["id"]): str(each["name"]) for each in content["categories"]}
    if not all(0 <= category <= LARGEST for category in categories):
        raise ValueError(f"ids of categories are 0 to {LARGEST}")
    panoptic = any("segments_info" in each for each in content["annotations"])
    images: dict[Any, dict[str, Any]] = {
        each["id"]: {"name": str(each["file_name"]), "height": int(each["height"]), "width": int(each["width"])}
        for each in content["images"]
    }
    told: dict[Any, dict[str, Any]] = {each: {"annotations": [], "png": ""} for each in images}
    for each in content["annotations"]:
        of = told[each["image_id"]]
        of["annotations"] += each["segments_info"] if panoptic else [each]
        of["png"] = str(each["file_name"]) if panoptic else ""
    packed = {image["name"]: _packed({**image, **told[i]}, categories) for i, image in images.items()}
    by_id = {image_id_of(name, known=image_extension(name)): name for name in packed}
    return CocoFile(packed, by_id, categories, panoptic)


def _packed(told: Mapping[str, Any], categories: Mapping[int, str]) -> bytes:
    if min(told["height"], told["width"]) < 1:
        raise ValueError("an image without pixels")
    kept = ("id", "category_id", "segmentation", "iscrowd")
    notes = [{key: each[key] for key in kept if key in each} for each in told["annotations"]]
    if any(each["category_id"] not in categories for each in notes):
        raise ValueError("an annotation of a category that is not listed")
    return zlib.compress(json.dumps({**told, "annotations": notes}, sort_keys=True).encode(), 1)


def _unpacked(packed: bytes) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(zlib.decompress(packed))
    return told


def _version(packed: bytes, png: Located | None) -> str:
    return f"{content_digest(packed)} {png.version if png else ''}"


def _png(folder: str, told: Mapping[str, Any]) -> str:
    """The PNG of an image's segments; empty where it has none, or one that is not below the folder."""
    try:
        return join(folder, told["png"]) if told["png"] else ""
    except ValueError:
        return ""


def _is_background(name: str) -> bool:
    return folded_name(name.strip()) == BACKGROUND
