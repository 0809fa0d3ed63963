"""JPEGs decoded as TensorFlow decodes them, for models whose training read them so."""

from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from transforms.elements import Array

_COLORS = {1: "GRAY", 3: "RGB"}


def decode_jpeg(data: bytes, channels: int, *, threads: int = 0) -> "Array":
    """Decodes a JPEG as `tf.io.decode_jpeg` does with its own settings.

    Where simplejpeg is installed it decodes: the same library with the same settings, in three quarters of the time
    and without TensorFlow. It complains of more than TensorFlow does; then TensorFlow has the last word.

    Args:
        data: A grey or RGB file.
        channels: 1 or 3, as many as the file has.
        threads: What TensorFlow is started with when it is first needed.

    Returns:
        uint8 `[H, W, channels]`. TensorFlow's errors are raised for damaged data.
    """
    simplejpeg = _simplejpeg()
    if simplejpeg:
        with suppress(ValueError):
            return np.asarray(simplejpeg.decode_jpeg(data, _COLORS[channels], fastdct=True))
    from pipeline.models.tensorflow_start import start_tensorflow

    tf = start_tensorflow(threads=threads)
    # `numpy()` would copy what nobody else holds.
    return np.asarray(tf.io.decode_jpeg(data, channels=channels))


@cache
def _simplejpeg() -> Any:
    try:
        import simplejpeg
    except ImportError:
        return None
    return simplejpeg
