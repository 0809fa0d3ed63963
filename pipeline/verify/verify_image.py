"""Checks one image of a finished output: its mask against its record, its products against its mask."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from maskbeam.pipeline.inputs.ids import encode_id
from maskbeam.pipeline.output.claim import TEXT_KEY, Record, parse_claim, parse_record
from maskbeam.pipeline.storage import LOST, NotFound, Storage, join
from maskbeam.transforms.classes.class_table import ClassInfo, ClassTable
from maskbeam.transforms.codecs.encode import decode_mask, decode_written, mask_path, read_text
from maskbeam.transforms.elements import Array, Labels, Origin, Region, Source
from maskbeam.transforms.head import MULTILABEL
from maskbeam.transforms.measures.counted import Counted, recount
from maskbeam.transforms.measures.pixels import PIXELS
from maskbeam.transforms.products.product import Held
from maskbeam.transforms.products.registry import product
from maskbeam.transforms.products.rendering import class_folders


@dataclass(frozen=True)
class Made:
    """How an output was made, as its settings tell."""

    settings: dict[str, Any]
    fingerprint: str

    @cached_property
    def table(self) -> ClassTable:
        """The model's classes."""
        classes = (ClassInfo(channel, i, name, tuple(color)) for channel, i, name, color in self.settings["classes"])
        return ClassTable(tuple(classes), "the output's own record", shared_colors=True)

    @property
    def planes(self) -> bool:
        """Whether classes are independent, so that there are binary masks and no label map."""
        return self.settings["head"]["kind"] in MULTILABEL and self.settings["--multilabel"] == "planes"

    @cached_property
    def binary(self) -> dict[str, int]:
        """Ids of the classes that have binary masks, by folder."""
        chosen = self.settings["--binary_classes"]
        pairs = [(c.id, c.name) for c in self.table.classes if not chosen or c.name in chosen]
        return dict(zip(class_folders(pairs), (i for i, _ in pairs), strict=True))

    @cached_property
    def record(self) -> str:
        """Path pattern of the file that carries an image's record."""
        return product("binary").path(next(iter(self.binary))) if self.planes else mask_path()

    @cached_property
    def products(self) -> set[str]:
        """The folders that every image has a file in, beside its record's."""
        return set(self.settings["--products"]) - ({"binary"} if self.planes else set())


class Checked(NamedTuple):
    """What was found: the image's counts as its pixels say, its size, what differs, in words, its mask's text."""

    counted: Counted | None
    size: tuple[int, int]
    differences: list[str]
    text: str = ""


def check_image(storage: Storage, root: str, made: Made, image_id: str, place: str) -> Checked:
    """Checks all files of an image.

    Args:
        storage: That of the output.
        root: The output folder.
        made: How it was made.
        image_id: The image's id.
        place: Digest of where its source lies, from the reports.
    """
    path = made.record.format(encode_id(image_id))
    try:
        data = storage.read(join(root, path))
        text = read_text(data).get(TEXT_KEY, "")
        record = parse_record(text)
        labels = decode_mask(data)
    except LOST as error:
        return Checked(None, (0, 0), [f"{path} {_lost(error)}"])
    except ValueError as error:
        return Checked(None, (0, 0), [f"{path} is damaged: {error}"])
    if record is None:
        return Checked(None, (0, 0), [f"{path} carries no record"])
    counted, wrong = _recount(labels, record, made)
    found = [
        *(["carries a record that its pixels do not bear out"] if wrong else []),
        *(["was made with another model or other options"] if record.claim.fingerprint != made.fingerprint else []),
        *(["belongs to another source than the report says"] if record.claim.place != place else []),
    ]
    products = _products(storage, root, made, record, encode_id(image_id), labels)
    differences = [*(f"{path} {said}" for said in found), *products]
    return Checked(counted, (record.height, record.width), differences, text)


def _recount(labels: Array, record: Record, made: Made) -> tuple[Counted, bool]:
    held = Counted.from_json(record.statistics)
    if made.planes:
        pixels, first = held[PIXELS], next(iter(made.binary.values()))
        return held, int(np.count_nonzero(labels)) != pixels.by_class.get(first, 0) or labels.size != pixels.total
    counted = recount(Labels(Origin("", Source("", "")), Region.whole(labels.shape), labels), made.table.ids, held)
    return counted, counted.to_json() != record.statistics


def _lost(error: Exception) -> str:
    return "is missing" if isinstance(error, NotFound) else "cannot be read"


def _products(storage: Storage, root: str, made: Made, record: Record, name: str, labels: Array) -> Iterator[str]:
    missing = made.products - {path.partition("/")[0] for path in record.products}
    yield from (f"the record of an image lists no file in {folder}/" for folder in sorted(missing))
    for path, size in record.files(name).items():
        try:
            data = storage.read(join(root, path))
        except LOST as error:
            yield f"{path} {_lost(error)}"
            continue
        if len(data) != size:
            yield f"{path} has {len(data)} bytes, its image's record says {size}"
        elif parse_claim(read_text(data).get(TEXT_KEY)) != record.claim:
            yield f"{path} belongs to another image or another run"
        elif wrong := _wrong_pixels(path, data, labels, record, made):
            yield f"{path} {wrong}"


def _wrong_pixels(path: str, data: bytes, labels: Array, record: Record, made: Made) -> str:
    kind, _, below = path.partition("/")
    try:
        pixels = decode_written(data)
    except ValueError:
        return "is damaged"
    if pixels.shape[:2] != labels.shape:
        return f"has {pixels.shape[:2]} pixels, its mask has {labels.shape}"
    class_id = made.binary.get(below.partition("/")[0])
    counted = record.statistics["classes"].get(str(class_id), [0])[0]
    held = Held(None if made.planes else labels, class_id, counted)
    return "" if product(kind).agrees(pixels, held) else "differs from its mask"
