"""The image files of one image, beside its mask."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from maskbeam.transforms.codecs.encode import NO_TEXT
from maskbeam.transforms.elements import Labels, Rendered, Source
from maskbeam.transforms.lookahead import LookAhead
from maskbeam.transforms.products.registry import products_of
from maskbeam.transforms.products.rendering import Rendering

# What labels of 16 bits and their mask alone take for one pixel; of 8 bits 2.2.
_MASK_BYTES = 6


def patterns(rendering: Rendering, *, planes: bool = False) -> list[str]:
    """The paths of the files that `render` draws, `{}` standing for the image's encoded id.

    Args:
        rendering: What is drawn.
        planes: Whether of planes and not of a label map.
    """
    return [path for each in products_of(rendering.products) for path in each.paths(rendering, planes=planes)]


def bytes_to_draw(products: Iterable[str], *, planes: int = 0) -> int:
    """Bytes that labels and files of one pixel take at their peak, beside the image that overlays are drawn on.

    Args:
        products: What is drawn beside the mask.
        planes: How many classes that are independent, each with a plane of its own; 0 of a label map.
    """
    drawn = products_of(products)
    each = 3 if any(product.needs_confidence for product in drawn) else 1
    return max([_MASK_BYTES, *(product.drawing_bytes for product in drawn)]) + planes * each


def render(labels: Labels, rendering: Rendering, *, text: Mapping[str, str] = NO_TEXT) -> dict[str, bytes]:
    """Draws all products of one image but its mask.

    Args:
        labels: Label map `[H, W]`, or planes `[C, H, W]`.
        rendering: What to draw, and how.
        text: Put into every file.

    Returns:
        Files by their path below the output, `{}` standing for the image's encoded id.

    Raises:
        ValueError: A product is asked for whose image or confidence was not kept.
        ImageError: `TOO_LARGE` for an overlay of more than 65535 pixels a side.
    """
    drawn: dict[str, bytes] = {}
    for product in products_of(rendering.products):
        drawn |= product.draw(labels, rendering, text=text)
    return drawn


def no_text(source: Source) -> Mapping[str, str]:
    """The text of files that carry none."""
    return NO_TEXT


class Render(LookAhead):
    """`Labels` -> `Rendered`: binary masks, colours, overlays, all that was asked for; failures are `failed`.

    Args:
        rendering: What to draw, and how.
        text: The text of an image's files, from its source.
    """

    def __init__(self, rendering: Rendering, *, text: Callable[[Source], Mapping[str, str]] = no_text) -> None:
        super().__init__(partial(rendered, rendering=rendering, text=text), output_type=Rendered)


def rendered(
    labels: Labels, rendering: Rendering, *, text: Callable[[Source], Mapping[str, str]] = no_text
) -> Rendered:
    """Labels `[H, W]` or `[C, H, W]` with all files of `render`; errors as there."""
    return Rendered(labels.origin, labels, render(labels, rendering, text=text(labels.source)))
