"""A finished output, to be read: how it was made, its classes, images, masks, records and reports.

What checks an output, cleans it or hands it on stands on this.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from maskbeam.pipeline.digests import digest
from maskbeam.pipeline.inputs.ids import encode_id
from maskbeam.pipeline.options.output import GEOTIFF
from maskbeam.pipeline.output.claim import TEXT_KEY, Record, parse_record
from maskbeam.pipeline.output.finished_rows import Failed, FinishedImage, damaged, failed_rows, image_rows
from maskbeam.pipeline.output.ours import NAMES_EXTENSION
from maskbeam.pipeline.output.stored_json import parse_stored
from maskbeam.pipeline.output.tree import RECORD, SUCCESS
from maskbeam.pipeline.storage import LOST, NotFound, Storage, absolute, join, open_storage
from maskbeam.transforms.classes.class_table import ClassInfo, ClassTable
from maskbeam.transforms.codecs.encode import decode_written, mask_path, read_text
from maskbeam.transforms.elements import Array
from maskbeam.transforms.errors import RunError
from maskbeam.transforms.head import MULTILABEL
from maskbeam.transforms.products.registry import product
from maskbeam.transforms.products.rendering import class_folders


@dataclass(frozen=True)
class FinishedOutput:
    """An output and what it says of itself.

    Attributes:
        root: The folder, local or on gs://.
        storage: Where it lies.
        settings: All that it was made with, by the name under which a person knows it.
        fingerprint: What its masks carry of that.
        inputs: A digest of the last command's --input; None where that does not tell which inputs are gone.
    """

    root: str
    storage: Storage
    settings: dict[str, Any]
    fingerprint: str
    inputs: str | None = None

    @classmethod
    def open(cls, output: str) -> "FinishedOutput":
        """Opens an output that a run has finished, or has ended with too many failures.

        Raises:
            RunError: No run has finished there, or what it says of itself is damaged.
        """
        root = absolute(output).rstrip("/")
        found = cls.begun(root, open_storage(root, named=root))
        found.read_json("reports/summary.json")
        return found

    @classmethod
    def begun(cls, root: str, storage: Storage) -> "FinishedOutput":
        """The same of an output in which a run has at least begun."""
        record = read_json(storage, root, RECORD)
        settings, inputs = record.get("settings"), record.get("inputs")
        if not isinstance(settings, dict):
            raise damaged(join(root, RECORD))
        return cls(root, storage, settings, stored_fingerprint(record), inputs if isinstance(inputs, str) else None)

    @cached_property
    def classes(self) -> ClassTable:
        """The model's classes."""
        rows = (ClassInfo(channel, i, name, tuple(color)) for channel, i, name, color in self.settings["classes"])
        return ClassTable(tuple(rows), "the output's own record", shared_colors=True)

    @property
    def planes(self) -> bool:
        """True if classes are independent, so that there are binary masks and no label map."""
        return self.settings["head"]["kind"] in MULTILABEL and self.settings["--multilabel"] == "planes"

    @cached_property
    def binary(self) -> dict[str, int]:
        """Ids of the classes that have binary masks, by folder."""
        chosen = self.settings["--binary_classes"]
        pairs = [(c.id, c.name) for c in self.classes.classes if not chosen or c.name in chosen]
        return dict(zip(class_folders(pairs), (i for i, _ in pairs), strict=True))

    @cached_property
    def record_path(self) -> str:
        """The path pattern of the file that carries an image's record: its mask, or its first class's."""
        path = product("binary").path(next(iter(self.binary))) if self.planes else mask_path()
        return f"{path.rpartition('.')[0]}.tif" if self.is_geotiff else path

    @property
    def is_geotiff(self) -> bool:
        """True where masks and products are GeoTIFFs."""
        return self.settings.get("--mask_format") == GEOTIFF

    @cached_property
    def products(self) -> frozenset[str]:
        """The folders that every image has a file in, beside its record's."""
        return frozenset(self.settings["--products"]) - ({"binary"} if self.planes else set())

    @property
    def is_success(self) -> bool:
        """True if the last run ended well."""
        return self.storage.stat(join(self.root, SUCCESS)) is not None

    def images(self) -> Iterator[FinishedImage]:
        """The images that have a mask, in the order of the reports; RunError where these are damaged."""
        return image_rows(self.storage, self.root)

    def failed(self) -> Iterator[Failed]:
        """The inputs that have none; RunError where the report is damaged."""
        return failed_rows(self.storage, self.root)

    def path(self, image_id: str) -> str:
        """The path of the file that carries an image's record."""
        return self.record_path.format(encode_id(image_id))

    def mask(self, image_id: str) -> Array:
        """The label map `[H, W]` of an image, uint8 or uint16; of independent classes the first one's mask, 0 or 255.

        Raises:
            RunError: It is missing or damaged.
        """
        return self._decoded(self.path(image_id), decode_written)

    def record(self, image_id: str) -> Record:
        """The record in an image's mask; errors as of `mask`."""
        path = self.path(image_id)
        record = parse_record(read_text(self._bytes(path)).get(TEXT_KEY))
        if record is None:
            raise damaged(join(self.root, path))
        return record

    def drawn(self, image_id: str) -> dict[str, Array]:
        """The pixels `[H, W]` or `[H, W, 3]` of an image's products, by path; errors as of `mask`."""
        files = self.record(image_id).files(encode_id(image_id))
        return {path: self._decoded(path, decode_written) for path in files if not path.endswith(NAMES_EXTENSION)}

    def read_json(self, path: str) -> dict[str, Any]:
        """A JSON file of the output; RunError where it is missing or damaged."""
        return read_json(self.storage, self.root, path)

    def _decoded(self, path: str, decode: Any) -> Array:
        try:
            pixels: Array = decode(self._bytes(path))
        except ValueError:
            raise damaged(join(self.root, path)) from None
        return pixels

    def _bytes(self, path: str) -> bytes:
        try:
            return self.storage.read(join(self.root, path))
        except LOST:
            raise RunError(
                f"{join(self.root, path)} is missing, or cannot be read; run the same command again"
            ) from None


def read_json(storage: Storage, root: str, path: str) -> dict[str, Any]:
    """A JSON file of an output.

    Raises:
        RunError: It is missing or damaged.
    """
    try:
        content = parse_stored(storage.read(join(root, path)))
    except NotFound:
        raise RunError(f"{root} holds no {path}: no run has finished there; run the same command again") from None
    except ValueError:
        raise damaged(join(root, path)) from None
    if not isinstance(content, dict):
        raise damaged(join(root, path))
    return content


def stored_fingerprint(record: dict[str, Any]) -> str:
    """The fingerprint that the masks of an output carry; older versions made it of all settings."""
    return str(record.get("fingerprint") or digest(json.dumps(record["settings"], sort_keys=True)))
