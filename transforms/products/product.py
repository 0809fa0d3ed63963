"""The product as code sees it: an image file that every image gets beside its mask, or one for each class."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from maskbeam.transforms.elements import Array, Labels
from maskbeam.transforms.products.rendering import Rendering


class Held(NamedTuple):
    """The part of an output that a product of an image is checked against.

    Attributes:
        mask: The label map `[H, W]`; None where classes are independent.
        class_id: The class that the file is of, by its folder; None for one of all classes.
        pixels: How many pixels the record says that the class has.
    """

    mask: Array | None
    class_id: int | None
    pixels: int


@dataclass(frozen=True)
class Product(ABC):
    """One product.

    Attributes:
        name: Its folder in the output, and its word for --products.
        extension: Of its files.
        of_planes: Whether it can be drawn of classes that are independent of each other.
        needs_image: Whether the decoded image is kept for it.
        needs_confidence: Whether the confidence of each pixel is kept for it, so that it cannot be drawn of masks.
        drawing_bytes: What drawing takes at its peak for one pixel, with the labels, in bytes: measured.
    """

    name: str
    extension: str = "png"
    of_planes: bool = False
    needs_image: bool = False
    needs_confidence: bool = False
    drawing_bytes: int = 6

    def fits(self, *, kind: str, planes: bool) -> bool:
        """True if it can be drawn of what a model gives: a `Head`'s kind, and whether its classes have planes."""
        return (self.of_planes or not planes) and (kind != "ids" or not self.needs_confidence)

    def is_by_class(self, *, planes: bool) -> bool:
        """True if each class has a file of its own."""
        return planes

    @property
    def may_be_by_class(self) -> bool:
        """True if there are outputs in which each class has a file of its own."""
        return self.is_by_class(planes=self.of_planes)

    def path(self, folder: str = "") -> str:
        """The path of a file below the output, `{}` standing for the image's encoded id."""
        return f"{self.name}/{folder}{'/' if folder else ''}{{}}.{self.extension}"

    def paths(self, rendering: Rendering, *, planes: bool) -> list[str]:
        """The paths of all that is drawn of an image."""
        return (
            [self.path(name) for _, _, name in rendering.folders]
            if self.is_by_class(planes=planes)
            else [self.path()]
        )

    @abstractmethod
    def draw(self, labels: Labels, rendering: Rendering, *, text: Mapping[str, str]) -> dict[str, bytes]:
        """The files of an image, by `paths`, each with the text in front of its pixels.

        Raises:
            ImageError: A file's format cannot hold it.
        """

    @abstractmethod
    def depends_on(self, settings: Mapping[str, Any]) -> Any:
        """Values that its pixels depend on beside the mask, as JSON values, of an output's settings."""

    def agrees(self, pixels: Array, held: Held) -> bool:
        """True if a file's pixels are those of its mask, as far as that can be told."""
        return True


def kept(array: Array | None, product: Product) -> Array:
    """The image `[H, W, C]` or confidence `[H, W]` that a product draws on; ValueError where it was not kept."""
    if array is None:
        raise ValueError(f"the product {product.name} was asked for, but what it draws on was not kept")
    return array
