"""JPEGs decoded as training read them: as TensorFlow decodes them, or as Pillow and OpenCV do."""

import re
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from maskbeam.transforms.codecs.jpeg_ends import check_pixels

if TYPE_CHECKING:
    from maskbeam.transforms.elements import Array

_COLORS = {1: "GRAY", 3: "RGB"}
# libjpeg's first complaint, in front of the marker that ends the image: all pixels have been decoded without one.
_BEHIND_PIXELS = re.compile("extraneous bytes before marker 0xd9")


def decode_jpeg(data: bytes, channels: int, *, threads: int = 0) -> "Array":
    """Decodes a JPEG as `tf.io.decode_jpeg` does with its own settings.

    Where simplejpeg is installed it decodes: the same library with the same settings, in three quarters of the time
    and without TensorFlow, which has the last word of what it cannot read. A file whose pixels are not all there is
    damaged, though TensorFlow fills them with grey.

    Args:
        data: A grey or RGB file.
        channels: 1 or 3, as many as the file has.
        threads: What TensorFlow is started with when it is first needed.

    Returns:
        uint8 `[H, W, channels]`. ValueError, ImageError or TensorFlow's errors are raised for damaged data.
    """
    pixels = _by_simplejpeg(data, channels, fastdct=True)
    if pixels is not None:
        return pixels
    from maskbeam.pipeline.models.loading.tensorflow_start import start_tensorflow

    tf = start_tensorflow(threads=threads)
    # `numpy()` would copy what nobody else holds.
    pixels = np.asarray(tf.io.decode_jpeg(data, channels=channels))
    check_pixels(data, pixels)
    return pixels


def decode_jpeg_as_pillow(data: bytes, channels: int) -> "Array | None":
    """Decodes a JPEG as Pillow and `cv2.imread` do, but for one whose pixels are not all there.

    They fill what is missing with grey and say nothing. simplejpeg tells, and takes less time.

    Args:
        data: A grey or RGB file.
        channels: 1 or 3, as many as the file has.

    Returns:
        uint8 `[H, W, channels]`; None where simplejpeg is not installed, or cannot read it.

    Raises:
        ValueError: The data ends before the pixels do.
    """
    return _by_simplejpeg(data, channels, fastdct=False)


def _by_simplejpeg(data: bytes, channels: int, *, fastdct: bool) -> "Array | None":
    """Pixels; None where another decoder must judge. ValueError where pixels are missing: others make them up.

    Bytes that are too many cost no pixel; TensorFlow would only tell the console.
    """
    simplejpeg = _simplejpeg()
    if simplejpeg is None:
        return None
    try:
        return np.asarray(simplejpeg.decode_jpeg(data, _COLORS[channels], fastdct=fastdct))
    except ValueError as error:
        if "premature end" in str(error).lower():
            raise
        if not _BEHIND_PIXELS.search(str(error)):
            return None
    return np.asarray(simplejpeg.decode_jpeg(data, _COLORS[channels], fastdct=fastdct, strict=False))


@cache
def _simplejpeg() -> Any:
    try:
        import simplejpeg
    except ImportError:
        return None
    return simplejpeg
