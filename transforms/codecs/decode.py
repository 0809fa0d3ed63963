"""Bytes become pixels."""

from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import NamedTuple

import numpy as np

from maskbeam.transforms.budget import admit
from maskbeam.transforms.codecs.codec import JpegDecoder, Request, Samples, Size, too_large
from maskbeam.transforms.codecs.pillow_samples import turned_upright
from maskbeam.transforms.codecs.registry import codec_for, is_raster_name
from maskbeam.transforms.codecs.value_range import is_opaque, on_background, to_byte_scale
from maskbeam.transforms.elements import Array, EncodedImage, Grid, Image, Region
from maskbeam.transforms.errors import Code, ImageError
from maskbeam.transforms.lookahead import LookAhead

MAX_PIXELS = 150_000_000
# What decoding one value of a raw tensor takes, all copies counted, until it is fitted to the model.
_RAW_BYTES = 12
_CUT = (
    "its colours are CMYK or premultiplied, of whose 16 bits only the upper 8 are read, so that --input_range cannot "
    "apply: convert it to RGB"
)


class _Read(NamedTuple):
    """Samples, facts of the header, the full size where it is not that of the samples, and where pixels lie.

    Turned upright they lie on no grid of the file's any more.
    """

    samples: Samples
    facts: dict[str, str]
    full_size: Size | None = None
    grid: Grid | None = None


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
    """Decodes an image file of a format of the registry, or a raw tensor.

    The rules, apart from those of `to_byte_scale`, `on_background` and the formats: a damaged or truncated file
    fails, but formats without checksums (all but PNG) may decode to other pixels after a flipped bit. A decoder that
    crashes or hangs takes its process with it. `facts` tell an EXIF orientation other than 1, what became of
    transparency, and of which type samples were that have a range.

    Args:
        encoded: `data` is the file's bytes, or with `raw_shape` the tensor's.
        input_range: Low and high of samples that are not 8-bit.
        background: Red, green, blue behind what is transparent. Without it transparency is dropped and colours count
            as they are stored: `tf.io.decode_png(channels=3)`, Pillow's `convert("RGB")`, OpenCV's `IMREAD_COLOR`.
        upright: Whether pixels are turned as the EXIF orientation says, in place of lying as they are stored.
        max_pixels: The cap on height times width, checked before decoding.
        fast_scale: Height and width of the model's input. JPEGs are then decoded at the smallest of 1, 1/2, 1/4, 1/8
            of their size that still covers it, and the region tells the true size.
        jpeg_decoder: See `JpegDecoder`; not for those decoded at reduced scale.

    Returns:
        Pixels `[H, W, C]`, uint8 for 8-bit sources, else float32; C is 1 for grey, 3 for colour, or the tensor's own.

    Raises:
        ImageError: UNREADABLE, TOO_LARGE, UNSUPPORTED_FORMAT, BAD_VALUE_RANGE, or BAD_CHANNELS where a background is
            asked for and nobody knows whether a band is transparency.
    """
    check_one_file(encoded)
    if encoded.data is None:
        raise ValueError("the image has to be fetched before it is decoded")
    try:
        if encoded.raw_shape is not None:
            read = _Read(_raw_samples(encoded.data, encoded.raw_shape, encoded.raw_dtype, max_pixels), {})
        else:
            request = Request(max_pixels, fast_scale, upright, jpeg_decoder)
            read = _read_file(encoded.data, request, 1 if background is None else 2)
        samples, facts, full_size, grid = read
        if samples.is_cut and input_range is not None:
            raise ImageError(Code.BAD_VALUE_RANGE, _CUT)
        pixels = to_byte_scale(samples.values, input_range)
        if samples.values.dtype != np.uint8:
            facts = {**facts, "samples": samples.values.dtype.name}
        if not is_opaque(samples.alpha):
            pixels, facts = _without_alpha(pixels, samples, background, facts)
        if upright and "orientation" in facts:
            pixels = turned_upright(pixels, int(facts["orientation"]))
        pixels = np.ascontiguousarray(pixels)
    except MemoryError:
        raise ImageError(Code.TOO_LARGE, "there was not enough memory to decode it") from None
    region = Region.whole(full_size or pixels.shape[:2])
    origin = replace(encoded.origin, size=region.size, grid=grid or encoded.origin.grid, facts=facts)
    return Image(origin, region, pixels)


def check_one_file(encoded: EncodedImage) -> None:
    """Refuses an image of several files, of which one would pass for all of it.

    Raises:
        ImageError: UNSUPPORTED_FORMAT.
    """
    bands = encoded.origin.companions
    if not bands:
        return
    are_rasters = all(is_raster_name(band.where) for band in bands)
    what_to_do = "say --mask_format geotiff, which reads them as one image" if are_rasters else "join them"
    raise ImageError(Code.UNSUPPORTED_FORMAT, f"its bands are {len(bands)} files, and masks are PNGs: {what_to_do}")


def _without_alpha(
    pixels: Array, samples: Samples, background: tuple[int, int, int] | None, facts: dict[str, str]
) -> tuple[Array, dict[str, str]]:
    if not samples.is_alpha:
        if background is not None:
            raise ImageError(
                Code.BAD_CHANNELS,
                "its last band may be transparency, or near infrared, which TIFFs with georeference call alpha, too: "
                "without --background it is left out; if it is transparency, convert it to PNG",
            )
        return pixels, facts
    if background is None:
        return pixels, {**facts, "transparency": "dropped"}
    return on_background(pixels, samples.alpha, background), {**facts, "transparency": "on background"}


def _read_file(data: bytes, request: Request, times: int) -> _Read:
    """Reads a file of a format of the registry.

    Args:
        data: The file's bytes.
        request: How its pixels are wanted.
        times: How many times the memory of plain decoding they take, as a background does.
    """
    reader = codec_for(data).open(data, request)
    full_size = reader.size if reader.reduced else None
    if full_size and request.upright and reader.orientation >= 5:
        full_size = full_size[::-1]
    admit(prod(reader.reduced or reader.size) * reader.pixel_bytes * times)
    facts = {} if reader.orientation == 1 else {"orientation": str(reader.orientation)}
    return _Read(reader.read(), facts, full_size, reader.grid if not (request.upright and facts) else None)


def _raw_samples(data: bytes, shape: tuple[int, int, int], dtype: str, max_pixels: int) -> Samples:
    if shape[0] * shape[1] > max_pixels:
        raise too_large(shape[0] * shape[1], max_pixels)
    kind = np.dtype(dtype).newbyteorder("<")
    if kind.kind not in "uif" or min(shape) < 1 or len(data) != prod(shape) * kind.itemsize:
        raise ImageError(Code.UNREADABLE, f"its {len(data)} bytes are not a tensor of {shape} {kind.name}")
    admit(_RAW_BYTES * prod(shape))
    return Samples(np.frombuffer(data, kind).reshape(shape))


class Decode(LookAhead):
    """`EncodedImage` to `Image` by `decode`, or another decoder; failures go to the tag `failed`."""

    def __init__(self, decoder: Callable[[EncodedImage], Image] = decode) -> None:
        super().__init__(decoder, output_type=Image)
