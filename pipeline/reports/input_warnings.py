"""Warnings about images that can be read in two ways, and about how they were read."""

from maskbeam.pipeline.options import DecodeOptions
from maskbeam.pipeline.text.wording import by_kind, plural
from maskbeam.transforms.codecs.registry import names_of_formats
from maskbeam.transforms.elements import Found
from maskbeam.transforms.measures.counted import Sums
from maskbeam.transforms.measures.pixels import PIXELS
from maskbeam.transforms.measures.two_readings import TWO_READINGS


def input_warnings(statistics: Sums, options: DecodeOptions) -> list[str]:
    """Says how many images have transparency or an orientation, where no flag has said what to do with it.

    Args:
        statistics: Sums over all images that are done.
        options: How they were decoded.
    """
    warnings, held, images = [], statistics[TWO_READINGS], statistics[PIXELS].images
    if held.transparent and options.background is None:
        warnings.append(
            f"{_of(held.transparent, images)} transparent pixels; they count with the colour that is stored"
            " under them, as TensorFlow, OpenCV and Pillow's convert('RGB') read them. If training saw them on a "
            "background, name its colour, as in --background 0,0,0"
        )
    if held.turned and options.orientation == "stored":
        warnings.append(
            f"{_of(held.turned, images)} an EXIF orientation; their masks lie as the pixels are stored, not"
            " as viewers and cv2.imread show them. --orientation upright turns them before the model sees them"
        )
    return warnings


def left_out_warnings(found: Found) -> list[str]:
    """Says so where more files were left out than were taken for images and shards."""
    number = sum(found.left_out.values())
    if number <= found.files:
        return []
    listed = plural(number + found.files, "file")
    return [
        f"{number:,} of {listed} of --input left out: {by_kind(found.left_out)}. {names_of_formats('and')} "
        "are read, and TFRecord shards; convert the others if they belong to the input"
    ]


def _of(number: int, images: int) -> str:
    return f"{number:,} of {plural(images, 'image')} {'has' if number == 1 else 'have'}"
