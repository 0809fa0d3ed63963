"""Pictures and files of them for the tests of everything that reads images."""

import io
from typing import Any

import numpy as np
from PIL import Image as PilImage

from maskbeam.transforms.elements import Array, EncodedImage, Image, Source
from tests.support.elements import decoded_image, encoded_image

SOURCE = Source("memory:picture", "1")


def scene(height: int = 90, width: int = 121, channels: int = 3, seed: int = 0) -> Array:
    """Waves, boxes and noise, `[H, W, C]` uint8: smooth and sharp parts as in photographs."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / (5 + c)) * np.cos(y / (9 - c)) * 80 + 128 for c in range(channels)]
    picture = np.stack(waves, axis=2) + rng.normal(0, 8, (height, width, channels))
    for _ in range(6):
        top, left = rng.integers(height), rng.integers(width)
        picture[top : top + 25, left : left + 25] = rng.integers(0, 256, channels)
    return picture.clip(0, 255).astype(np.uint8)


def as_file(picture: Array | PilImage.Image, format: str, **options: Any) -> bytes:
    """The bytes of a file that Pillow writes."""
    if not isinstance(picture, PilImage.Image):
        picture = PilImage.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture)
    stream = io.BytesIO()
    picture.save(stream, format, **options)
    return stream.getvalue()


def encoded(data: bytes, **raw: Any) -> EncodedImage:
    return encoded_image("picture", SOURCE, data, **raw)


def decoded(pixels: Array, **more: Any) -> Image:
    return decoded_image("picture", SOURCE, pixels, **more)


def with_stray_bytes(jpeg: bytes) -> bytes:
    """The same JPEG with bytes in front of its end that do not belong there: decoders warn, and pixels are whole."""
    return jpeg[:-2] + b"\1\2\3" * 40 + jpeg[-2:]
