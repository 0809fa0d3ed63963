"""Images as small as a person looks at them: of rasters some pixels are read, other images are decoded again."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from maskbeam.pipeline.inputs.read import reread
from maskbeam.pipeline.inputs.readers.raster import Raster
from maskbeam.pipeline.inputs.scenes import Scenes, is_raster
from maskbeam.pipeline.options import ReadOptions
from maskbeam.transforms.elements import Array, EncodedImage, Image, Origin
from maskbeam.transforms.resampling.prepare import as_uint8, drawable

# Of a picture of values that have no range: there is nothing that black and white could be.
_GREY = 128
# A person sees three.
_BANDS = 3


@dataclass(frozen=True)
class SmallImages:
    """Gives images once more, small.

    Attributes:
        scenes: Reads rasters.
        decode: Decodes other images.
        options: How these are read.
    """

    scenes: Scenes
    decode: Callable[[EncodedImage], Image]
    options: ReadOptions

    def __call__(self, origin: Origin, longest: int) -> Array:
        """An image, uint8 `[h, w, C]` of at most `longest` pixels a side; of a raster its first three bands at most.

        Raises:
            ImageError: It is gone, or another one now, or cannot be read.
        """
        if is_raster(EncodedImage(origin)):
            with self.scenes.opened(origin) as raster:
                return as_uint8(seen(raster, longest, is_raw=self.scenes.rules.raw))
        pixels = drawable(self.decode(reread(origin.source, self.options, image_id=origin.image_id)))
        step = -(-max(pixels.shape[:2]) // longest)
        return pixels[::step, ::step]


def seen(raster: Raster, longest: int, *, is_raw: bool) -> Array:
    """A raster `[h, w, C]`, uint8 or float32 of 0..255 by its stated range, of at most `longest` a side.

    With `raw` values have no range: all that has data is grey. Errors as of `Raster.read`.
    """
    small = raster.thumbnail(longest, bands=1 if is_raw else _BANDS)
    return grey(small.valid) if is_raw else small.values


def grey(valid: Array) -> Array:
    """A picture `[h, w, 1]`, uint8, of values that have no range: grey where there is data."""
    return np.where(valid, np.uint8(_GREY), np.uint8(0))[..., None]
