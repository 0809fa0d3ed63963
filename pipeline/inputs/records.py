"""A record of a shard becomes an image that is not decoded yet."""

import re
from math import prod

from pipeline.inputs.example import Features, parse_example
from pipeline.inputs.ids import check_id, image_id_of
from pipeline.inputs.misread import misread_image, misread_record
from pipeline.inputs.tfrecord import Record
from pipeline.options import ReadOptions
from transforms.elements import EncodedImage, Entry, Failure, Source
from transforms.errors import ImageError
from transforms.signatures import is_image

_PLACE = re.compile(r"(.*)#(\d+)", re.DOTALL)
_VERSION = re.compile(r"[0-9a-f]{8}")
_RAW_DTYPES = {1: "uint8", 2: "uint16", 4: "float32"}


def source_of(shard: Entry, record: Record) -> Source:
    """Where a record is, and its checksum: it is the same image however often its shard is copied or extended."""
    return Source(f"{shard.uri}#{record.offset}", f"{record.crc:08x}")


def record_of(source: Source) -> tuple[str, int] | None:
    """Shard and offset of a record; None for a file."""
    place = _PLACE.fullmatch(source.where)
    return (place[1], int(place[2])) if place and _VERSION.fullmatch(source.version) else None


def image_of(record: Record, shard: Entry, options: ReadOptions) -> EncodedImage | Failure:
    """The image that a record holds.

    Its id is the record's name, the last extension dropped, else `<shard>/<offset>`. Its bytes are an image file's
    or, where they are none and height, width and channels are given, a tensor of 1 (uint8), 2 (uint16) or 4 (float32)
    bytes a value.

    Returns:
        The image, or its failure: `BAD_EXAMPLE`, `MISSING_KEY`, `BAD_ID` or `UNREADABLE`.
    """
    source, image_id = source_of(shard, record), ""
    try:
        sizes = (options.height_key, options.width_key, options.channels_key)
        features = parse_example(record.payload, {options.image_key, options.name_key, *sizes})
        name = features.text_of(options.name_key) if options.name_key in features else ""
        named = image_id_of(name, keep_extension=options.keep_extension)
        image_id = check_id(named or f"{shard.image_id}/{record.offset:012}")
        data = _image_bytes(features, options.image_key, record)
        if not is_image(data):
            return _no_file(image_id, source, data, features, sizes)
    except ImageError as error:
        return Failure(image_id, source, error.code, error.reason)
    return EncodedImage(image_id, source, data)


def _image_bytes(features: Features, key: str, record: Record) -> bytes:
    try:
        return features.bytes_of(key)
    except ImageError:
        if reason := misread_record(record.payload):
            raise ImageError("BAD_EXAMPLE", reason) from None
        raise


def _no_file(
    image_id: str, source: Source, data: bytes, features: Features, sizes: tuple[str, str, str]
) -> EncodedImage:
    """A raw tensor; what is neither that nor known is left to the decoder to refuse."""
    # Asked first: a tensor in an envelope may have as many bytes as one of another type.
    if reason := misread_image(data):
        raise ImageError("UNREADABLE", reason)
    if not all(key in features for key in sizes):
        return EncodedImage(image_id, source, data)
    height, width, channels = (features.int_of(key) for key in sizes)
    dtype = _dtype(len(data), (height, width, channels))
    if dtype is None:
        reason = "its bytes are no image file, and not height x width x channels values of 1, 2 or 4 bytes"
        raise ImageError("UNREADABLE", reason)
    return EncodedImage(image_id, source, data, (height, width, channels), dtype)


def _dtype(size: int, shape: tuple[int, int, int]) -> str | None:
    """The type of a tensor of that many bytes and that shape; None: there is none."""
    values = prod(shape)
    return _RAW_DTYPES.get(size // values if min(shape) > 0 and size % values == 0 else 0)
