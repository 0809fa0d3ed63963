"""The bytes of every image file that a run writes: PNG for what machines read, JPEG for overlays; GeoTIFF for scenes.

Masks are grey and not palette PNGs, because readers that ask for one channel turn a palette into luminance and the
ids are lost.
"""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from maskbeam.transforms.codecs import registry
from maskbeam.transforms.codecs.aux_xml import aux_text, is_whole_aux
from maskbeam.transforms.codecs.codec import HEAD_BYTES, TEXT_BYTES, Fetch
from maskbeam.transforms.codecs.jpeg import JPEG, MAX_SIDE
from maskbeam.transforms.codecs.plain_png import INDEXED, RGB, encode_png
from maskbeam.transforms.confidence import UNIT
from maskbeam.transforms.elements import Array
from maskbeam.transforms.errors import Code, ImageError
from maskbeam.transforms.strips import in_strips

NO_TEXT: Mapping[str, str] = MappingProxyType({})
# The nearest 8-bit value of each 16-bit one: 65535 / 255 is 257.
_EIGHT_BITS = ((np.arange(UNIT + 1) + 128) // 257).astype(np.uint8)


def encode_mask(labels: Array, *, text: Mapping[str, str] = NO_TEXT) -> bytes:
    """Writes class ids in the format of masks: a grey PNG whose pixel is the id in every reader.

    Args:
        labels: `[H, W]` uint8, or uint16 for a PNG of 16 bits.
        text: Latin-1 text that is put in front of the pixels.

    Raises:
        ValueError: Another type or shape; nothing is converted silently.
    """
    _check(labels, 2, (np.uint8, np.uint16))
    return registry.MASKS.encode(labels, text=text)


def mask_path() -> str:
    """Path of masks below the output, `{}` standing for the image's encoded id."""
    return f"masks/{{}}{registry.MASKS.extensions[0]}"


def decode_mask(data: bytes) -> Array:
    """Class ids `[H, W]`, uint8 or uint16, of a mask that `encode_mask` wrote; ValueError when it is damaged."""
    return registry.MASKS.decode(data)


def encode_binary(mask: Array, *, text: Mapping[str, str] = NO_TEXT) -> bytes:
    """Writes a mask `[H, W]` as a grey PNG of 0 and 255: bool, or uint8 that holds these two already."""
    _check(mask, 2, (np.bool_, np.uint8))
    pixels = mask.view(np.uint8) * np.uint8(255) if mask.dtype == np.bool_ else mask
    return encode_png(pixels, text=text)


def encode_palette(labels: Array, palette: Array, *, text: Mapping[str, str] = NO_TEXT) -> bytes:
    """Writes class ids as a palette PNG: the index is the id, viewers show its colour.

    Args:
        labels: `[H, W]` uint8; wider ids need `colorize` and `encode_rgb`.
        palette: Uint8 `[256, 3]`, red, green and blue by id.
        text: Latin-1 text that is put in front of the pixels.

    Raises:
        ValueError: A palette cannot hold this.
    """
    _check(labels, 2, (np.uint8,))
    if palette.shape != (256, 3) or palette.dtype != np.uint8:
        raise ValueError(f"expected a palette uint8 [256, 3], got {palette.dtype} {palette.shape}")
    return encode_png(labels, color_type=INDEXED, palette=palette.tobytes(), text=text)


def encode_rgb(pixels: Array, *, text: Mapping[str, str] = NO_TEXT) -> bytes:
    """Writes uint8 `[H, W, 3]` as an RGB PNG."""
    _check(pixels, 3, (np.uint8,))
    return encode_png(pixels, color_type=RGB, text=text)


def encode_confidence(confidence: Array, *, text: Mapping[str, str] = NO_TEXT) -> bytes:
    """Writes confidence as a grey PNG of 8 bits, 255 for certainty, so that every viewer shows it.

    A step is 0.4%, finer than any model is calibrated; 16 bits would take three times the room of 8.

    Args:
        confidence: Uint16 `[H, W]` in units of 1/65535.
        text: Latin-1 text that is put in front of the pixels.
    """
    _check(confidence, 2, (np.uint16,))
    pixels = np.empty(confidence.shape, np.uint8)
    # Numpy looks things up by indices of eight bytes, and copies others to these.
    for rows in in_strips(confidence.shape):
        pixels[rows] = _EIGHT_BITS.take(confidence[rows])
    return encode_png(pixels, text=text)


def encode_jpeg(pixels: Array, *, text: Mapping[str, str] = NO_TEXT) -> bytes:
    """Writes uint8 `[H, W, 3]` as a JPEG; text becomes its comment.

    Raises:
        ImageError: `TOO_LARGE` for more than 65535 pixels a side, which JPEG cannot hold.
    """
    _check(pixels, 3, (np.uint8,))
    if max(pixels.shape) > MAX_SIDE:
        raise ImageError(Code.TOO_LARGE, f"a JPEG overlay holds at most {MAX_SIDE} pixels a side")
    return JPEG.encode(pixels, text=text)


def read_text(data: bytes) -> dict[str, str]:
    """The text of a file that one of these functions wrote.

    Args:
        data: The file, or as many of its first bytes as come before its pixels: `TEXT_BYTES` are enough.

    Returns:
        Text by key; empty when there is none, or the file is damaged in front of its pixels or something else.
    """
    return next((text for codec in registry.writable_codecs() if (text := codec.read_text(data))), aux_text(data))


def is_whole(data: bytes) -> bool:
    """True if the bytes of a file that one of these functions wrote are all there, and not cut off at their end."""
    return is_whole_file(lambda start, end: data[start:end], len(data))


def is_whole_file(fetch: Fetch, size: int) -> bool:
    """The same of a file of so many bytes that is not held: little is read of its beginning, its end, and between."""
    head = fetch(0, HEAD_BYTES)
    codecs = [codec for codec in registry.writable_codecs() if codec.recognises(head)]
    if not codecs:
        return bool(aux_text(fetch(0, TEXT_BYTES))) and is_whole_aux(fetch(max(0, size - HEAD_BYTES), size))
    return any(codec.is_whole(fetch, size) for codec in codecs)


def decode_written(data: bytes) -> Array:
    """The pixels `[H, W]` or `[H, W, 3]` of a file that one of these functions wrote, whatever its format.

    Raises:
        ValueError: It is damaged, or none of these functions wrote it.
    """
    codec = next((codec for codec in registry.writable_codecs() if codec.recognises(data[:HEAD_BYTES])), None)
    if codec is None:
        raise ValueError("it is of no format that is written")
    return codec.decode(data)


def _check(pixels: Array, rank: int, dtypes: tuple[type, ...]) -> None:
    if pixels.ndim != rank or pixels.dtype not in dtypes:
        names = " or ".join(np.dtype(each).name for each in dtypes)
        raise ValueError(f"expected {names} of rank {rank}, got {pixels.dtype} {pixels.shape}")
