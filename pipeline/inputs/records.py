"""A record of a shard becomes an image that is not decoded yet."""

import re
from dataclasses import replace
from math import prod

from maskbeam.pipeline.inputs.containers.example import Features, parse_example
from maskbeam.pipeline.inputs.containers.tfrecord import ShardRecord
from maskbeam.pipeline.inputs.ids import check_id, image_id_of
from maskbeam.pipeline.inputs.misread import misread_image, misread_record
from maskbeam.pipeline.options import RAW_TYPES, ReadOptions
from maskbeam.transforms.codecs.registry import image_extension, is_image
from maskbeam.transforms.elements import EncodedImage, Entry, Failure, Origin, Source
from maskbeam.transforms.errors import Code, ImageError

_PLACE = re.compile(r"(.+)#([0-9]{1,19})", re.DOTALL)
_VERSION = re.compile(rf"[0-9a-f]{{8}}(:({'|'.join(RAW_TYPES)}))?")
# What raw tensors of one, two and four bytes a value were taken for when nobody could say.
_ASSUMED_ONCE = ("uint8", "uint16", "float32")
# What values of one byte are unless somebody says otherwise.
_ONE_BYTE = "uint8"


def source_of(shard: Entry, record: ShardRecord) -> Source:
    """The place of a record, and its checksum: it is the same image however often its shard is copied or extended."""
    return Source(f"{shard.uri}#{record.offset}", f"{record.crc:08x}")


def place_of(where: str) -> tuple[str, int] | None:
    """Shard and offset that `shard-uri#offset` names; None for other texts. A file may be called so, too."""
    place = _PLACE.fullmatch(where)
    return (place[1], int(place[2])) if place else None


def record_of(source: Source) -> tuple[str, int] | None:
    """Shard and offset of a record; None for a file."""
    return place_of(source.where) if _VERSION.fullmatch(source.version) else None


def image_of(record: ShardRecord, shard: Entry, options: ReadOptions) -> EncodedImage | Failure:
    """The image that a record holds.

    Its id is the record's name, the last extension dropped, else `<shard>/<offset>`. Its bytes are an image file's
    or, where they are none and height, width and channels are given, a tensor of `options.raw_type`; without that, of
    uint8 where each value has one byte.

    Returns:
        The image, or its failure: `BAD_EXAMPLE`, `MISSING_KEY`, `BAD_ID`, `UNREADABLE` or `RAW_TYPE`.
    """
    source, image_id = source_of(shard, record), ""
    try:
        sizes = (options.height_key, options.width_key, options.channels_key)
        features = parse_example(record.payload, {options.image_key, options.name_key, *sizes})
        name = features.text_of(options.name_key) if options.name_key in features else ""
        named = image_id_of(name, keep_extension=options.keep_extension, known=image_extension(name))
        image_id = check_id(named or f"{shard.image_id}/{record.offset:012}")
        data = _image_bytes(features, options.image_key, record)
        if not is_image(data):
            return _no_file(image_id, source, data, features, options)
    except ImageError as error:
        return Failure(image_id, source, error.code, error.reason)
    return EncodedImage(Origin(image_id, source), data)


def _image_bytes(features: Features, key: str, record: ShardRecord) -> bytes:
    try:
        return features.bytes_of(key)
    except ImageError:
        if reason := misread_record(record.payload):
            raise ImageError(Code.BAD_EXAMPLE, reason) from None
        raise


def _no_file(image_id: str, source: Source, data: bytes, features: Features, options: ReadOptions) -> EncodedImage:
    """A raw tensor; what is neither that nor known is left to the decoder to refuse."""
    # Asked first: a tensor in an envelope may have as many bytes as one of another type.
    if reason := misread_image(data):
        raise ImageError(Code.UNREADABLE, reason)
    keys = (options.height_key, options.width_key, options.channels_key)
    if not all(key in features for key in keys):
        return EncodedImage(Origin(image_id, source), data)
    height, width, channels = (features.int_of(key) for key in keys)
    shape = (height, width, channels)
    values = prod(shape)
    if min(shape) < 1 or not data or len(data) % values:
        reason = "its bytes are no image file, and not height x width x channels values of equal size"
        raise ImageError(Code.UNREADABLE, reason)
    dtype = _raw_type(len(data) // values, options.raw_type)
    return EncodedImage(Origin(image_id, _read_as(source, dtype)), data, shape, dtype)


def _read_as(source: Source, dtype: str) -> Source:
    """The source of a tensor: read as another type it is another version, and its mask alone is done again."""
    return source if dtype in _ASSUMED_ONCE else replace(source, version=f"{source.version}:{dtype}")


def _raw_type(size: int, named: str | None) -> str:
    """The type of values of `size` bytes each."""
    if named is None and size == RAW_TYPES[_ONE_BYTE]:
        return _ONE_BYTE
    of_that_size = ", ".join(name for name, bytes_each in RAW_TYPES.items() if bytes_each == size)
    if not of_that_size:
        raise ImageError(Code.UNREADABLE, f"its values have {size} bytes each, and no type of --raw_type has as many")
    if named is None:
        raise ImageError(
            Code.RAW_TYPE, f"its values have {size} bytes each: say with --raw_type which they are of {of_that_size}"
        )
    if RAW_TYPES[named] != size:
        raise ImageError(
            Code.RAW_TYPE,
            f"its values have {size} bytes each, so they are {of_that_size} and not --raw_type {named}",
        )
    return named
