"""One image compared: mask and reference read, brought together, and counted."""

from dataclasses import dataclass
from typing import NamedTuple

from maskbeam.pipeline.compare.comparison import Comparison
from maskbeam.pipeline.output.claim import TEXT_KEY, parse_record
from maskbeam.pipeline.output.finished_rows import FinishedImage
from maskbeam.pipeline.references.reader import Located, NoReferenceError
from maskbeam.pipeline.references.references import orientation_of
from maskbeam.pipeline.storage import LOST, join
from maskbeam.transforms.codecs.encode import decode_written, read_text
from maskbeam.transforms.comparison.align import align
from maskbeam.transforms.comparison.boundary import boundary_counts
from maskbeam.transforms.comparison.flow import Flow, flow
from maskbeam.transforms.elements import Array
from maskbeam.transforms.errors import Code, ImageError


class Measured(NamedTuple):
    """An image that was compared: its size in pixels, its flow, and pixels `[C, 3]` at boundaries if asked for."""

    image: FinishedImage
    height: int
    width: int
    flow: Flow
    boundary: Array | None = None


class NotMeasured(NamedTuple):
    """An image that could not be compared, and why."""

    image: FinishedImage
    code: str
    reason: str


@dataclass(frozen=True)
class Measure:
    """Compares images; can be pickled, and called from many threads."""

    comparison: Comparison

    def __call__(self, image: FinishedImage, reference: Located) -> Measured | NotMeasured | None:
        """Counts an image; None where its reference turns out to be none. An `ImageError` costs this one only."""
        try:
            truth, labels = aligned(self.comparison, image, reference)
        except NoReferenceError:
            return None
        except ImageError as error:
            return NotMeasured(image, error.code, error.reason)
        (height, width), count, share = truth.shape, self.comparison.count, self.comparison.boundary
        boundary = boundary_counts(truth, labels, count, share) if share else None
        return Measured(image, height, width, flow(truth, labels, count), boundary)


def aligned(comparison: Comparison, image: FinishedImage, reference: Located) -> tuple[Array, Array]:
    """Class indexes `[H, W]` of an image's reference and of its mask.

    Raises:
        ImageError: The reference cannot be read or does not fit; or the mask is not what the reports say.
    """
    labels, orientation = mask_of(comparison, image)
    references = comparison.references
    return align(references.read(reference), references.how, labels, orientation)


def mask_of(comparison: Comparison, image: FinishedImage) -> tuple[Array, int]:
    """An image's label map `[H, W]`, and the EXIF orientation of its photo; errors as of `aligned`."""
    output = comparison.output
    try:
        data = output.storage.read(join(output.root, output.path(image.image_id)))
        record = parse_record(read_text(data).get(TEXT_KEY))
        labels: Array = decode_written(data)
    except (*LOST, ValueError):
        raise _damaged() from None
    if record is None:
        raise _damaged()
    return labels, orientation_of(record, output)


def _damaged() -> ImageError:
    return ImageError(Code.OUTPUT_BLOCKED, "its mask is missing or damaged; the same maskbeam run makes it again")
