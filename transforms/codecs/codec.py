"""The image format as code sees it: how a file is told by its first bytes, and how its pixels are read and written.

Each format is one object in a file of its own; `registry.py` lists them.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from maskbeam.transforms.elements import Array, Grid, Region
from maskbeam.transforms.errors import Code, ImageError

# So many bytes tell all formats apart.
HEAD_BYTES: Final = 256
# What a file says of itself in text, as masks and products of a run do, stands within so many bytes.
TEXT_BYTES: Final = 64 << 10
# So many last bytes tell a whole file from one that was cut off, in all formats that are written.
END_BYTES: Final = 64
# What decoding one pixel takes at its peak, all copies counted, until it is fitted to the model: the most that was
# measured of any format with 8 bits (WebP) and with more (PNG with alpha).
PIXEL_BYTES: Final = 18
DEEP_PIXEL_BYTES: Final = 28

Size = tuple[int, int]
# Decodes grey and RGB JPEGs in Pillow's place, to `[H, W, C]` uint8 from the file's bytes and C. Decoders differ:
# the result of Pillow is `tf.io.decode_jpeg(dct_method="INTEGER_ACCURATE")`, every pixel; `tf.io.decode_jpeg` as it
# is uses a faster transform, which is one level off on average and up to eight. That changes about 1% of a trained
# model's labels, so where training read its images so, a job does too. One that gives None leaves it to Pillow.
JpegDecoder = Callable[[bytes, int], Array | None]
# The bytes `[start, end)` of a file, fewer at its end: a scene's mask is larger than what must be read of it.
Fetch = Callable[[int, int], bytes]


class Request(NamedTuple):
    """Wishes about pixels; a format heeds what it can.

    Attributes:
        max_pixels: The cap on height times width, checked before decoding.
        fast_scale: Height and width of the model's input, which a reduced size must cover; None: the full size.
        upright: Whether pixels will be turned as the orientation says.
        jpeg_decoder: See `JpegDecoder`; not for those decoded at reduced scale.
    """

    max_pixels: int
    fast_scale: Size | None = None
    upright: bool = False
    jpeg_decoder: JpegDecoder | None = None


class Samples(NamedTuple):
    """The samples of a file: `values` `[H, W, C]` of any real type, and `alpha` `[H, W, 1]` or None.

    Alpha is uint8 (255 = opaque) beside uint8 values and float32 (1 = opaque) beside others. `is_alpha` is False
    where it may be another band: GDAL calls the fourth band of 8-bit pictures alpha, near infrared too, unless it is
    told otherwise. `is_cut` is True where `values` are the upper halves of the file's.
    """

    values: Array
    alpha: Array | None = None
    is_alpha: bool = True
    is_cut: bool = False

    def within(self, region: Region) -> "Samples":
        """The same of one region `[height, width, C]`: views, no copies."""
        rows = slice(region.top, region.top + region.height)
        columns = slice(region.left, region.left + region.width)
        alpha = None if self.alpha is None else self.alpha[rows, columns]
        return self._replace(values=self.values[rows, columns], alpha=alpha)


class LabelSamples(NamedTuple):
    """The samples of a label map as they are stored: nothing is expanded to colours, nothing spread over 0..255.

    Attributes:
        values: Whole numbers `[H, W]`, grey values or places in the palette; or colours `[H, W, 3]`.
        palette: Red, green and blue uint8 `[P, 3]` of those places; None: there is no palette.
    """

    values: Array
    palette: Array | None = None


class Reader(ABC):
    """An opened image, whose pixels are not decoded yet.

    Attributes:
        size: Height and width of the image as it is stored.
        bands: The number of bands that are stored, transparency included; a palette is one.
        grid: Where its pixels lie on the earth, as they are stored; None for plain pictures.
        orientation: That of EXIF, 1 to 8; 1: as stored.
        reduced: Height and width of what is read, where that is a reduced size; else None.
        pixel_bytes: What decoding one pixel takes at its peak, all copies counted.
        is_lossy: Whether pixels may be other ones than those that were written.
    """

    size: Size
    bands: int
    grid: Grid | None = None
    orientation: int = 1
    reduced: Size | None = None
    pixel_bytes: int = PIXEL_BYTES
    is_lossy: bool = False

    @abstractmethod
    def read(self, region: Region | None = None) -> Samples:
        """Decodes a region of the image, or all of it; one that is read at a reduced size has no regions.

        Raises:
            ImageError: UNREADABLE, or UNSUPPORTED_FORMAT for a colour space without a rule.
        """

    def read_labels(self) -> LabelSamples:
        """Decodes all of a label map; errors as of `read`."""
        values = self.read().values
        return LabelSamples(values[..., 0] if values.shape[2] == 1 else values)


@dataclass(frozen=True, eq=False)
class Codec(ABC):
    """A format that is read.

    Attributes:
        name: As people call it; no other format has it.
        extensions: In lower case, each with its first dot: `.tif`, `.nii.gz`.
        channels: How many a decoded image may have.
        modules: Libraries that it imports when it is first used, and that take long: where images are decoded in
            processes of their own these are imported before those begin.
    """

    name: str
    extensions: tuple[str, ...]
    channels: frozenset[int] = field(default=frozenset((1, 3)), kw_only=True)
    modules: tuple[str, ...] = field(default=(), kw_only=True)

    @abstractmethod
    def recognises(self, head: bytes) -> bool:
        """True for a file of this format, by its first `HEAD_BYTES` bytes, or all of them."""

    @abstractmethod
    def open(self, data: bytes, request: Request) -> Reader:
        """Opens a file that was recognised, from its bytes.

        Raises:
            ImageError: UNREADABLE, UNSUPPORTED_FORMAT or TOO_LARGE.
        """


class WritableCodec(Codec):
    """A format that a run's files may have: they carry text in front of their pixels, their claim."""

    @abstractmethod
    def encode(self, pixels: Array, *, text: Mapping[str, str]) -> bytes:
        """Writes pixels, class ids `[H, W]` or colours `[H, W, 3]`, with Latin-1 text.

        Raises:
            ValueError: The format does not hold this.
        """

    @abstractmethod
    def read_text(self, head: bytes) -> dict[str, str]:
        """The text that `encode` put into a file; empty where there is none, or it is damaged or something else.

        Args:
            head: The file, or its first `TEXT_BYTES`.
        """

    @abstractmethod
    def is_whole(self, fetch: Fetch, size: int) -> bool:
        """True for a file of so many bytes that ends as this format does: another one was cut off."""

    @abstractmethod
    def decode(self, data: bytes) -> Array:
        """The pixels that `encode` was given: `[H, W]` or `[H, W, 3]`, of a format that loses nothing the very same.

        Raises:
            ValueError: It is damaged, cut off, or was not written by `encode`.
        """


def too_large(pixels: int, max_pixels: int) -> ImageError:
    """The error that an image of so many pixels is refused with."""
    return ImageError(Code.TOO_LARGE, f"it has {pixels} pixels and --max_pixels is {max_pixels}")
