"""The content found where an image was expected, told from its bytes, with the way to an image."""

import base64
import re
import zlib

from maskbeam.pipeline.inputs.containers.example import fields_of
from maskbeam.pipeline.inputs.containers.tfrecord import HEADER_BYTES, find_headers
from maskbeam.transforms.codecs.codec import HEAD_BYTES
from maskbeam.transforms.codecs.registry import format_of, is_image
from maskbeam.transforms.codecs.signatures import FETCH_IT, LFS_POINTER

# Four characters of base64 are three bytes.
_ENCODED_HEAD = 4 * (HEAD_BYTES // 3)
_BASE64 = re.compile(rb"(?:data:[\w/+.-]+;base64,)?([A-Za-z0-9+/_-]{16,})={0,2}")
_TENSOR_TYPE, _TENSOR_SHAPE, _TENSOR_LAST = 1, 2, 17
_CONTEXT, _FEATURE_LISTS = 1, 2


def misread_image(data: bytes) -> str:
    """The kind of bytes that are no image's, as a reason for a person; `""` where that cannot be told."""
    if _is_base64(data[: 2 * _ENCODED_HEAD]):
        return "it is an image as base64 text: write its bytes, as tf.io.decode_base64 gives them"
    if _is_serialized_tensor(data):
        return (
            "it is a tensor as tf.io.serialize_tensor writes it: write tf.io.encode_png of the pixels, or their "
            "bytes beside image/height, image/width and image/channels, with --raw_type where a value has several"
        )
    return ""


def misread_record(payload: bytes) -> str:
    """The kind of a record that lacks its image, as a reason for a person; `""` where that cannot be told."""
    numbers = fields_of(payload)
    if _FEATURE_LISTS in numbers and numbers <= {_CONTEXT, _FEATURE_LISTS}:
        return "it is a tf.train.SequenceExample: write each of its images as a tf.train.Example"
    return ""


def misread_shard(head: bytes) -> str:
    """The kind of a shard that begins with `head` and no record, as a reason; `""` where that cannot be told."""
    if format_of(head) == LFS_POINTER:
        return FETCH_IT
    try:
        start = zlib.decompressobj().decompress(head, HEADER_BYTES)
    except zlib.error:
        return ""
    return "the shard is compressed with ZLIB: write it with GZIP, or without" if find_headers(start).size else ""


def _is_base64(head: bytes) -> bool:
    text = _BASE64.fullmatch(head.translate(bytes.maketrans(b"-_", b"+/"), b" \r\n"))
    return text is not None and is_image(base64.b64decode(text[1][: len(text[1]) // 4 * 4]))


def _is_serialized_tensor(data: bytes) -> bool:
    numbers = fields_of(data)
    return {_TENSOR_TYPE, _TENSOR_SHAPE} <= numbers and max(numbers) <= _TENSOR_LAST
