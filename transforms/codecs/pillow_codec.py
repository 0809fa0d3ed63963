"""Formats that Pillow reads: from a file's bytes to an opened image, with a cap, and on to its samples.

A format's Pillow class is called directly: `PIL.Image.open` would offer the bytes to every plugin that is installed,
and complains of large images through process-wide warnings.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from typing import Generic

import numpy as np
import PIL.Image
from PIL import ImageFile
from PIL.ImageFile import ImageFile as OpenedFile

from maskbeam.transforms.codecs.codec import (
    DEEP_PIXEL_BYTES,
    PIXEL_BYTES,
    Codec,
    LabelSamples,
    Reader,
    Request,
    Samples,
    too_large,
)
from maskbeam.transforms.codecs.pillow_errors import decoder_errors
from maskbeam.transforms.codecs.pillow_samples import (
    Opened,
    T,
    grey_step,
    orientation,
    read_indices,
    read_samples,
)
from maskbeam.transforms.elements import Array, Region

# Our cap is read from the header before anything is decoded. Pillow's own would warn, or refuse, on top of it.
PIL.Image.MAX_IMAGE_PIXELS = None
# Compressions of TIFFs, as Pillow calls them.
_LOSSY = ("jpeg", "tiff_jpeg", "webp")


class PillowReader(Reader, Generic[T]):
    """An image that Pillow has opened."""

    def __init__(self, opened: Opened[T]) -> None:
        image = opened.image
        self._opened, self._image = opened, image
        self.size, self.bands = image.size[::-1], len(image.getbands())
        self.orientation = orientation(image)
        self.pixel_bytes = DEEP_PIXEL_BYTES if _is_deep(image) else PIXEL_BYTES
        # A TIFF may hold JPEGs. Of WebP nothing tells but how its data begins, and hardly any is lossless.
        self.is_lossy = image.format in ("JPEG", "WEBP") or image.info.get("compression") in _LOSSY

    def read(self, region: Region | None = None) -> Samples:
        whole = self._samples()
        return whole if region is None else whole.within(region)

    def read_labels(self) -> LabelSamples:
        image, step = self._image, grey_step(self._image)
        if image.mode == "P":
            return LabelSamples(*self._indices())
        found = super().read_labels()
        return found if step == 1 else LabelSamples(found.values // np.uint8(step))

    def _samples(self) -> Samples:
        return read_samples(self._opened)

    def _indices(self) -> tuple[Array, Array]:
        return read_indices(self._opened)


def _is_deep(image: OpenedFile) -> bool:
    """True for samples of more than 8 bits."""
    tiles = [tile.args[0] if isinstance(tile.args, tuple) and tile.args else tile.args for tile in image.tile]
    return image.mode in ("I", "F") or "16" in image.mode or any("16" in str(tile) for tile in tiles)


@dataclass(frozen=True, eq=False)
class PillowCodec(Codec, Generic[T]):
    """A format whose pixels Pillow decodes.

    Attributes:
        image_class: Pillow's class for it.
        begins: Whether a file that begins so is of it.
    """

    image_class: type[T]
    begins: Callable[[bytes], bool]

    def recognises(self, head: bytes) -> bool:
        return self.begins(head)

    def open(self, data: bytes, request: Request) -> Reader:
        open_image = self.opener(data, request.max_pixels)
        return PillowReader(Opened(open_image(), open_image))

    def opener(self, data: bytes, max_pixels: int) -> Callable[[], T]:
        """A function that opens the image in `data`; each call gives a new one whose pixels are not decoded yet."""
        # Anyone in this process may have allowed half-decoded images, with grey where the rest should be.
        ImageFile.LOAD_TRUNCATED_IMAGES = False
        return partial(self._opened, data, max_pixels)

    def _opened(self, data: bytes, max_pixels: int) -> T:
        image = self._image(data)
        if image.width * image.height > max_pixels:
            raise too_large(image.width * image.height, max_pixels)
        return image

    def _image(self, data: bytes) -> T:
        with decoder_errors():
            return self.image_class(BytesIO(data))
