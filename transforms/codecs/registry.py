"""The formats that are read: one line for each. Whoever asks what an image is asks here.

The listing takes for an image what the decoder opens; records of shards and messages know no format by heart.
"""

from functools import cache

from maskbeam.transforms.codecs.bmp import BMP
from maskbeam.transforms.codecs.codec import HEAD_BYTES, Codec, WritableCodec
from maskbeam.transforms.codecs.geotiff import GEOTIFF
from maskbeam.transforms.codecs.gif import GIF
from maskbeam.transforms.codecs.jpeg import JPEG
from maskbeam.transforms.codecs.png import PNG
from maskbeam.transforms.codecs.refusals import refusal
from maskbeam.transforms.codecs.signatures import foreign_format
from maskbeam.transforms.codecs.tiff import TIFF
from maskbeam.transforms.codecs.webp import WEBP

# In the order in which they are asked; no two of these begin alike.
CODECS: tuple[Codec, ...] = (JPEG, PNG, TIFF, WEBP, BMP, GIF)
# What a run's files have and images are read as something else: a TIFF of ours is any TIFF to who decodes it.
_WRITTEN_ALONE: tuple[WritableCodec, ...] = (GEOTIFF,)
#: Files that are read as rasters, by their place on the earth, by the ends of their names.
RASTER_EXTENSIONS = (".tif", ".tiff", ".jp2")
# The format of masks: it must lose nothing.
MASKS: WritableCodec = PNG


def codec_of(head: bytes) -> Codec | None:
    """The format of a file by its first `HEAD_BYTES` or more; None where it is none that is read."""
    for codec in CODECS:
        if codec.recognises(head):
            return codec
    return None


def codec_for(data: bytes) -> Codec:
    """The format of a whole file.

    Raises:
        ImageError: UNREADABLE or UNSUPPORTED_FORMAT: it is none that is read.
    """
    head = data[:HEAD_BYTES]
    codec = codec_of(head)
    if codec is None:
        raise refusal(head, read=names_of_formats("and"), one_of=names_of_formats("or"))
    return codec


def format_of(head: bytes) -> str:
    """The name of a file's format, one that is read or another one; `""` where it is none that is known.

    Args:
        head: The file's first `HEAD_BYTES` or more.
    """
    codec = codec_of(head)
    return codec.name if codec else foreign_format(head)


def is_image(head: bytes) -> bool:
    """True if bytes that begin so are a file of one of the formats that are read."""
    return codec_of(head) is not None


def writable_codecs() -> list[WritableCodec]:
    """The formats that a run's files may have."""
    return [*(codec for codec in CODECS if isinstance(codec, WritableCodec)), *_WRITTEN_ALONE]


def channels_by_name(path: str) -> frozenset[int]:
    """Channels that an image of this name may have: of an extension that no format has, those of any."""
    extension = image_extension(path)
    of_these = [codec.channels for codec in CODECS if extension in codec.extensions or not extension]
    return frozenset().union(*of_these)


def channels_of_all() -> frozenset[int]:
    """Channels that an image may have whatever its format is."""
    return frozenset.intersection(*(codec.channels for codec in CODECS))


def modules_of_formats() -> tuple[str, ...]:
    """Libraries that decoding imports and that take long, whatever the format."""
    return tuple(dict.fromkeys(module for codec in CODECS for module in codec.modules))


def image_extension(path: str) -> str:
    """The longest extension of a format that is read that a path has, in lower case; `""` for none.

    Args:
        path: A path or URI; a name that is nothing but an extension has none.
    """
    longest_first = _extensions(CODECS)
    name = path.rpartition("/")[2].lower()
    if not name.endswith(longest_first):
        return ""
    return next((each for each in longest_first if name.endswith(each) and len(name) > len(each)), "")


def is_raster_name(where: str) -> bool:
    """True for a file that a run with GeoTIFF masks reads as a raster, by its path or URI."""
    return where.lower().endswith(RASTER_EXTENSIONS)


def names_of_formats(last: str) -> str:
    """The names of all formats, as in `JPEG, PNG and TIFF`, with a word before the last one."""
    *names, end = (codec.name for codec in CODECS)
    return f"{', '.join(names)} {last} {end}" if names else end


@cache
def _extensions(codecs: tuple[Codec, ...]) -> tuple[str, ...]:
    return tuple(sorted({each for codec in codecs for each in codec.extensions}, key=len, reverse=True))
