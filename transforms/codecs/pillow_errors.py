"""Errors of Pillow's decoders in our own words."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from maskbeam.transforms.errors import Code, ImageError

# What Pillow says of a TIFF that is whole but organised in a way that it has no reader for.
_TIFF_UNKNOWN = ("unknown pixel mode", "unknown data organization", "Invalid value for samples per pixel")
BY_GDAL: Final = (
    "gdal_translate -b 1 -b 2 -b 3 -co PHOTOMETRIC=RGB -co INTERLEAVE=PIXEL, and of floats or 32 bits also "
    "-ot UInt16 -scale LOW HIGH 0 65535"
)


@contextmanager
def decoder_errors() -> Iterator[None]:
    """Turns whatever a decoder raises into an `ImageError` that repeats nothing of what the decoder said.

    Decoders fail with a dozen kinds of exceptions, and quote header values in them. Only calls of Pillow belong
    inside, or our own mistakes would be taken for damaged images.
    """
    try:
        yield
    except (MemoryError, ImageError):
        raise
    except Exception as error:
        code, reason = Code.UNREADABLE, "its data is damaged, cut short or of a kind that Pillow cannot read"
        if str(error) in _TIFF_UNKNOWN:
            code, reason = (
                Code.UNSUPPORTED_FORMAT,
                "Pillow cannot read a TIFF with its combination of bands, bits and colours; where three bands are "
                f"red, green and blue, let the file say so ({BY_GDAL})",
            )
        elif str(error) == "cannot handle 12-bit layers":
            code, reason = (
                Code.UNSUPPORTED_FORMAT,
                "it is a JPEG of 12 bits a colour: convert it to 8 bits",
            )
        raise ImageError(code, reason) from None
