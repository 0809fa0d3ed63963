"""JPEGs decoded by TensorFlow, for models whose training read them so."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from transforms.elements import Array


def decode_jpeg(data: bytes, channels: int, *, threads: int = 0) -> "Array":
    """Decodes a JPEG as `tf.io.decode_jpeg` does with its own settings: uint8 `[H, W, channels]`.

    Starts TensorFlow when it is first called, with so many `threads`; raises its errors for damaged data.
    """
    from pipeline.models.tensorflow_start import start_tensorflow

    tf = start_tensorflow(threads=threads)
    # `numpy()` would copy what nobody else holds.
    return np.asarray(tf.io.decode_jpeg(data, channels=channels))
