"""A record of a shard becomes an image that is not decoded yet."""

from math import prod

from pipeline.inputs.example import Features, parse_example
from pipeline.inputs.ids import check_id, image_id_of
from pipeline.inputs.tfrecord import Record
from pipeline.options import ReadOptions
from transforms.elements import EncodedImage, Entry, Failure, Source
from transforms.errors import ImageError
from transforms.signatures import is_image

_RAW_DTYPES = {1: "uint8", 2: "uint16", 4: "float32"}


def source_of(shard: Entry, record: Record) -> Source:
    """Where a record is, and its checksum: it is the same image however often its shard is copied or extended."""
    return Source(f"{shard.uri}#{record.offset}", f"{record.crc:08x}")


def image_of(record: Record, shard: Entry, options: ReadOptions) -> EncodedImage | Failure:
    """The image that a record holds.

    Its id is the record's name, the last extension dropped, else `<shard>/<offset>`. Its bytes are an image file's
    or, where they are none and height, width and channels are given, a tensor of 1 (uint8), 2 (uint16) or 4 (float32)
    bytes a value.

    Returns:
        The image, or its failure: `BAD_EXAMPLE`, `MISSING_KEY` or `BAD_ID`.
    """
    source, image_id = source_of(shard, record), ""
    try:
        sizes = (options.height_key, options.width_key, options.channels_key)
        features = parse_example(record.payload, {options.image_key, options.name_key, *sizes})
        name = features.text_of(options.name_key) if options.name_key in features else ""
        named = image_id_of(name, keep_extension=options.keep_extension)
        image_id = check_id(named or f"{shard.image_id}/{record.offset:012}")
        data = features.bytes_of(options.image_key)
        if not is_image(data) and all(key in features for key in sizes):
            return _raw_image(image_id, source, data, features, sizes)
    except ImageError as error:
        return Failure(image_id, source, error.code, error.reason)
    return EncodedImage(image_id, source, data)


def _raw_image(
    image_id: str, source: Source, data: bytes, features: Features, sizes: tuple[str, str, str]
) -> EncodedImage:
    height, width, channels = (features.int_of(key) for key in sizes)
    shape = (height, width, channels)
    values = prod(shape)
    dtype = _RAW_DTYPES.get(len(data) // values if min(shape) > 0 and len(data) % values == 0 else 0)
    if dtype is None:
        reason = "its bytes are no image file, and not height x width x channels values of 1, 2 or 4 bytes"
        raise ImageError("UNREADABLE", reason)
    return EncodedImage(image_id, source, data, shape, dtype)
