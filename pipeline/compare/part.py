"""A part of a comparison: some thousand images, compared once, and kept until one of them or its reference changes.

What is kept is one JSON file a part. It begins with a digest of the versions of the masks and references of all its
images, and of the options that numbers depend on: where that is still right, the part is not done again.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from maskbeam.pipeline.compare.comparison import Comparison
from maskbeam.pipeline.compare.measure import Measure, Measured, NotMeasured
from maskbeam.pipeline.digests import digest
from maskbeam.pipeline.output.finished_rows import FinishedImage
from maskbeam.pipeline.output.stored_json import parse_stored
from maskbeam.pipeline.output.tree import overwrite
from maskbeam.pipeline.references.reader import Located, stat_all
from maskbeam.pipeline.storage import LOST, join
from maskbeam.transforms.comparison.flow import Flow
from maskbeam.transforms.elements import Array
from maskbeam.transforms.lookahead import ELEMENTS_AHEAD, GROUPS_AHEAD, InFlight, pool

# Handing an image over to a thread costs as much as a small one takes.
_GROUP = 8


class Row(NamedTuple):
    """An image of a part: its id, where its source lies, its size in pixels, its flow, and boundaries.

    These are, of each class that has any, its index and its pixels at boundaries, as `of_classes` has them.
    """

    image_id: str
    where: str
    height: int
    width: int
    flow: Flow
    boundary: tuple[tuple[int, int, int, int], ...] = ()

    def boundary_counts(self, count: int) -> Array:
        """The boundaries as int64 `[C, 3]`."""
        counts = np.zeros((count, 3), np.int64)
        for at, *pixels in self.boundary:
            counts[at] = pixels
        return counts


class FailedRow(NamedTuple):
    """An image that could not be compared."""

    image_id: str
    where: str
    code: str
    reason: str


@dataclass(frozen=True)
class Part:
    """The images of a part, compared.

    Attributes:
        number: Of the part.
        versions: A digest of all that it was made of.
        rows: Of images that were compared, sorted by id.
        failed: Of those that could not be, sorted by id.
        without_reference: The number of images that have none.
    """

    number: int
    versions: str
    rows: tuple[Row, ...]
    failed: tuple[FailedRow, ...]
    without_reference: int

    def to_json(self) -> bytes:
        """The content of its file."""
        content = {
            "versions": self.versions,
            "without_reference": self.without_reference,
            "failed": self.failed,
            "rows": [
                (*row[:4], row.flow.pairs.tolist(), row.flow.pixels.tolist(), row.boundary) for row in self.rows
            ],
        }
        # Plain ASCII: halves of surrogate pairs stand as escapes.
        return json.dumps(content, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, number: int, data: bytes) -> "Part":
        """Restores what `to_json` wrote; ValueError where that is not what it is given."""
        try:
            held = parse_stored(data)
            rows = tuple(_row(*each) for each in held["rows"])
            failed = tuple(FailedRow(*each) for each in held["failed"])
            return cls(number, held["versions"], rows, failed, int(held["without_reference"]))
        except (TypeError, KeyError, OverflowError):
            raise ValueError("no part of a comparison") from None


@dataclass(frozen=True)
class DoPart:
    """Does a part, or finds it done; what it gives is in the part's file, too."""

    comparison: Comparison

    def __call__(self, number: int, images: Sequence[FinishedImage]) -> Part:
        """The part of these images."""
        images = sorted(images, key=lambda image: image.image_id)
        located = self.comparison.references.versions(images)
        versions = self._versions(images, located)
        held = read_part(self.comparison, number)
        if held is not None and held.versions == versions:
            return held
        part = self._done(number, versions, [(image, located.get(image.image_id)) for image in images])
        overwrite(self.comparison.tree, self.comparison.part_path(number), part.to_json())
        return part

    def _versions(self, images: Sequence[FinishedImage], located: Mapping[str, Located]) -> str:
        output = self.comparison.output
        uris = [join(output.root, output.path(image.image_id)) for image in images]
        masks = stat_all(output.storage, uris)
        told = [
            (
                image.image_id,
                image.source.where,
                masks[uri][1:] if uri in masks else None,
                located.get(image.image_id),
            )
            for image, uri in zip(images, uris, strict=True)
        ]
        return digest(repr((self.comparison.fingerprint, told)))

    def _done(self, number: int, versions: str, pairs: Sequence[tuple[FinishedImage, Located | None]]) -> Part:
        there = [(image, reference) for image, reference in pairs if reference is not None]
        rows, failed = [], []
        for found in _ahead(Measure(self.comparison), there):
            if found is None:
                continue
            image = found.image
            if isinstance(found, NotMeasured):
                failed.append(FailedRow(image.image_id, image.source.where, found.code, found.reason))
            else:
                where, boundary = image.source.where, _sparse(found.boundary)
                rows.append(Row(image.image_id, where, found.height, found.width, found.flow, boundary))
        return Part(number, versions, tuple(rows), tuple(failed), len(pairs) - len(rows) - len(failed))


def read_part(comparison: Comparison, number: int) -> Part | None:
    """A part as its file has it; None where there is none, or one that is damaged."""
    try:
        data = comparison.tree.storage.read(comparison.tree.uri(comparison.part_path(number)))
        return Part.from_json(number, data)
    except (*LOST, ValueError):
        return None


def _ahead(
    measure: Measure, images: Sequence[tuple[FinishedImage, Located]]
) -> Iterator[Measured | NotMeasured | None]:
    """Images compared in the process's pool, in order, a bounded number ahead."""
    in_flight = InFlight()
    for start in range(0, len(images), _GROUP):
        in_flight.submit(pool(), None, _measured, measure, images[start : start + _GROUP])
        for _, found in in_flight.take(leaving=max(GROUPS_AHEAD, ELEMENTS_AHEAD // _GROUP)):
            yield from found
    for _, found in in_flight.take(leaving=0):
        yield from found


def _measured(
    measure: Measure, images: Sequence[tuple[FinishedImage, Located]]
) -> list[Measured | NotMeasured | None]:
    return [measure(*each) for each in images]


def _sparse(boundary: Array | None) -> tuple[tuple[int, int, int, int], ...]:
    if boundary is None:
        return ()
    there = np.flatnonzero(boundary.any(axis=1))
    return tuple(
        (at, both, reference, labels)
        for at, (both, reference, labels) in zip(there.tolist(), boundary[there].tolist(), strict=True)
    )


def _row(image_id: str, where: str, height: int, width: int, pairs: Any, pixels: Any, boundary: Any) -> Row:
    return Row(image_id, where, height, width, _flow(pairs, pixels), tuple(map(tuple, boundary)))


def _flow(pairs: Any, pixels: Any) -> Flow:
    found = Flow(np.array(pairs, np.int64), np.array(pixels, np.int64), np.ones(len(pairs), np.int64))
    if len(found.pairs) != len(found.pixels):
        raise ValueError("a flow of other lengths")
    return found
