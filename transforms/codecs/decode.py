"""Bytes become pixels."""

from collections.abc import Callable
from functools import partial
from math import prod
from typing import Any

import apache_beam as beam
import numpy as np
from PIL import ImageFile
from PIL.JpegImagePlugin import JpegImageFile

from maskbeam.transforms.budget import admit
from maskbeam.transforms.codecs.jpeg_ends import check_length, check_pixels, take_end_away
from maskbeam.transforms.codecs.jpeg_scans import check_scans
from maskbeam.transforms.codecs.pillow_formats import decoder_errors, opener, too_large
from maskbeam.transforms.codecs.pillow_samples import Samples, orientation, read_samples, turned_upright
from maskbeam.transforms.codecs.value_range import is_opaque, on_background, to_byte_scale
from maskbeam.transforms.elements import Array, EncodedImage, Image
from maskbeam.transforms.errors import ImageError
from maskbeam.transforms.lookahead import LookAhead

MAX_PIXELS = 150_000_000
# What decoding one pixel takes at its peak, all copies counted, until it is fitted to the model: the most that was
# measured of any format with 8 bits (WebP) and with more (PNG with alpha); of a value of a raw tensor. Twice as much
# with a background.
_BYTES, _DEEP_BYTES, _RAW_BYTES = 18, 28, 12
_CUT = (
    "its colours are CMYK or premultiplied, of whose 16 bits only the upper 8 are read, so that --input_range cannot "
    "apply: convert it to RGB"
)
Size = tuple[int, int]
# Decodes grey and RGB JPEGs in Pillow's place, to `[H, W, C]` uint8 from the file's bytes and C. Decoders differ:
# the result of Pillow is `tf.io.decode_jpeg(dct_method="INTEGER_ACCURATE")`, every pixel; `tf.io.decode_jpeg` as it
# is uses a faster transform, which is one level off on average and up to eight. That changes about 1% of a trained
# model's labels, so where training read its images so, a job does too. One that gives None leaves it to Pillow.
JpegDecoder = Callable[[bytes, int], Array | None]


def decode(
    encoded: EncodedImage,
    *,
    input_range: tuple[float, float] | None = None,
    background: tuple[int, int, int] | None = None,
    upright: bool = False,
    max_pixels: int = MAX_PIXELS,
    fast_scale: Size | None = None,
    jpeg_decoder: JpegDecoder | None = None,
) -> Image:
    """Decodes a JPEG, PNG, TIFF, WebP, BMP or GIF file, or a raw tensor.

    The rules, apart from those of `to_byte_scale`, `on_background` and `read_samples`: a damaged or truncated file
    fails, but formats without checksums (all but PNG) may decode to other pixels after a flipped bit. A decoder that
    crashes or hangs takes its process with it. `keep` tells an EXIF orientation other than 1, what became of
    transparency, and of which type samples were that have a range.

    Args:
        encoded: `data` is the file's bytes, or with `raw_shape` the tensor's.
        input_range: Low and high of samples that are not 8-bit.
        background: Red, green, blue behind what is transparent. Without it transparency is dropped and colours count
            as they are stored: `tf.io.decode_png(channels=3)`, Pillow's `convert("RGB")`, OpenCV's `IMREAD_COLOR`.
        upright: Whether pixels are turned as the EXIF orientation says, in place of lying as they are stored.
        max_pixels: The cap on height times width, checked before decoding.
        fast_scale: Height and width of the model's input. JPEGs are then decoded at the smallest of 1, 1/2, 1/4, 1/8
            of their size that still covers it, and `full_size` tells the true size.
        jpeg_decoder: See `JpegDecoder`; not for those decoded at reduced scale.

    Returns:
        Pixels `[H, W, C]`, uint8 for 8-bit sources, else float32; C is 1 for grey, 3 for colour, or the tensor's own.

    Raises:
        ImageError: UNREADABLE, TOO_LARGE, UNSUPPORTED_FORMAT, BAD_VALUE_RANGE, or BAD_CHANNELS where a background is
            asked for and nobody knows whether a band is transparency.
    """
    if encoded.data is None:
        raise ValueError("the image has to be fetched before it is decoded")
    keep: dict[str, str] = {}
    full_size = None
    try:
        if encoded.raw_shape is not None:
            samples = _raw_samples(encoded.data, encoded.raw_shape, encoded.raw_dtype, max_pixels)
        else:
            ask = partial(_admit, background is not None)
            samples, keep, full_size = _file_samples(encoded.data, max_pixels, fast_scale, jpeg_decoder, upright, ask)
        if samples.is_cut and input_range is not None:
            raise ImageError("BAD_VALUE_RANGE", _CUT)
        pixels = to_byte_scale(samples.values, input_range)
        if samples.values.dtype != np.uint8:
            keep = {**keep, "samples": samples.values.dtype.name}
        if not is_opaque(samples.alpha):
            pixels, keep = _without_alpha(pixels, samples, background, keep)
        if upright and "orientation" in keep:
            pixels = turned_upright(pixels, int(keep["orientation"]))
        pixels = np.ascontiguousarray(pixels)
    except MemoryError:
        raise ImageError("TOO_LARGE", "there was not enough memory to decode it") from None
    return Image(encoded.image_id, encoded.source, pixels, keep, full_size)


def _without_alpha(
    pixels: Array, samples: Samples, background: tuple[int, int, int] | None, keep: dict[str, str]
) -> tuple[Array, dict[str, str]]:
    if not samples.is_alpha:
        if background is not None:
            raise ImageError(
                "BAD_CHANNELS",
                "its last band may be transparency, or near infrared, which TIFFs with georeference call alpha, too: "
                "without --background it is left out; if it is transparency, convert it to PNG",
            )
        return pixels, keep
    if background is None:
        return pixels, {**keep, "transparency": "dropped"}
    return on_background(pixels, samples.alpha, background), {**keep, "transparency": "on background"}


def _file_samples(
    data: bytes,
    max_pixels: int,
    fast_scale: Size | None,
    jpeg_decoder: JpegDecoder | None,
    upright: bool,
    admit_image: Callable[[ImageFile.ImageFile], None],
) -> tuple[Samples, dict[str, str], Size | None]:
    # Anyone in this process may have allowed half-decoded images, with grey where the rest should be.
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    open_image = opener(data, max_pixels=max_pixels)
    image = open_image()
    if isinstance(image, JpegImageFile):
        check_scans(data, image)
    turned = orientation(image)
    keep = {} if turned == 1 else {"orientation": str(turned)}
    if not isinstance(image, JpegImageFile):
        admit_image(image)
        return read_samples(image, open_image), keep, None
    check_length(data, image)
    width, height = image.size
    on_its_side = upright and turned >= 5
    if fast_scale is not None:
        image.draft(None, fast_scale if on_its_side else fast_scale[::-1])
    full_size = None if image.size == (width, height) else (width, height) if on_its_side else (height, width)
    admit_image(image)
    if jpeg_decoder is not None and not full_size and image.mode in ("L", "RGB"):
        with decoder_errors():
            values = jpeg_decoder(data, len(image.getbands()))
        if values is not None:
            return Samples(values), keep, None
    return _by_pillow(data, image, open_image), keep, full_size


def _by_pillow(data: bytes, image: JpegImageFile, open_image: Callable[[], ImageFile.ImageFile]) -> Samples:
    without_end = take_end_away(data, image)
    samples = read_samples(image, open_image)
    with decoder_errors():
        check_pixels(data, samples.values, without_end=without_end)
    return samples


def _raw_samples(data: bytes, shape: tuple[int, int, int], dtype: str, max_pixels: int) -> Samples:
    if shape[0] * shape[1] > max_pixels:
        raise too_large(shape[0] * shape[1], max_pixels)
    kind = np.dtype(dtype).newbyteorder("<")
    if kind.kind not in "uif" or min(shape) < 1 or len(data) != prod(shape) * kind.itemsize:
        raise ImageError("UNREADABLE", f"its {len(data)} bytes are not a tensor of {shape} {kind.name}")
    admit(_RAW_BYTES * prod(shape))
    return Samples(np.frombuffer(data, kind).reshape(shape))


def _admit(on_background: bool, image: ImageFile.ImageFile) -> None:
    """Asks for the memory that decoding and fitting an opened image takes, before its pixels are decoded."""
    tiles = [tile.args[0] if isinstance(tile.args, tuple) and tile.args else tile.args for tile in image.tile]
    deep = image.mode in ("I", "F") or "16" in image.mode or any("16" in str(tile) for tile in tiles)
    each = _DEEP_BYTES if deep else _BYTES
    admit(image.width * image.height * each * (2 if on_background else 1))


class Decode(beam.PTransform[Any, Any]):
    """`EncodedImage` to `Image` by `decode`, with its options; failures go to the tag `failed`."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self._decode = partial(decode, **options)

    def expand(self, images: Any) -> Any:
        return images | LookAhead(self._decode, output_type=Image)
