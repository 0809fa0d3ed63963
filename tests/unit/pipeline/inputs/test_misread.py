"""What lies in records and shards where an image was expected, as TensorFlow and others write it."""

import base64
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from maskbeam.pipeline.inputs.containers.example import make_example
from maskbeam.pipeline.inputs.containers.tfrecord import Damage, ShardRecord
from maskbeam.pipeline.inputs.misread import misread_image, misread_record, misread_shard
from maskbeam.pipeline.inputs.read_shard import read_shard
from maskbeam.pipeline.inputs.records import image_of
from maskbeam.pipeline.options import ReadOptions
from maskbeam.pipeline.output.outcome import Outcome
from maskbeam.pipeline.reports.totals import resolve
from maskbeam.transforms.elements import EncodedImage, Entry, Failure, Source
from tests.support.shard_files import examples, png, write_shard

SHARD = Entry("shard", 0, "1", "shard")


def read(payload: bytes, raw_type: str | None = None) -> EncodedImage | Failure:
    return image_of(ShardRecord(0, payload, 0), SHARD, ReadOptions(patterns=(), raw_type=raw_type))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.uint16])
def test_serialized_tensors(dtype: type) -> None:
    data = tf.io.serialize_tensor(np.zeros((2, 3, 3), dtype)).numpy()
    found = read(make_example({"image/encoded": data}))
    assert isinstance(found, Failure)
    assert (found.code, "tf.io.encode_png" in found.reason) == ("UNREADABLE", True)
    sizes = {"image/height": 2, "image/width": 3, "image/channels": 3}
    found = read(make_example({"image/encoded": data, **sizes}))
    assert isinstance(found, Failure)
    assert "tf.io.encode_png" in found.reason
    way_out = read(
        make_example({"image/encoded": np.zeros((2, 3, 3), dtype).tobytes(), **sizes}), np.dtype(dtype).name
    )
    assert isinstance(way_out, EncodedImage)


@pytest.mark.parametrize(
    "text",
    [
        base64.b64encode(png()),
        base64.encodebytes(png() * 20),
        b"data:image/png;base64," + base64.b64encode(png() * 9),
        tf.io.encode_base64(png()).numpy(),
    ],
)
def test_base64_text_of_images(text: bytes) -> None:
    found = read(make_example({"image/encoded": text}))
    assert isinstance(found, Failure)
    assert (found.code, "tf.io.decode_base64" in found.reason) == ("UNREADABLE", True)


def test_what_cannot_be_told_is_left_to_the_decoder() -> None:
    for data in (b"", b"garbage" * 30, base64.b64encode(bytes(300)), b"\x08\x01", bytes(50)):
        assert misread_image(data) == ""
        assert isinstance(read(make_example({"image/encoded": data})), EncodedImage)


def test_a_sequence_example() -> None:
    sequence = tf.train.SequenceExample()
    sequence.context.feature["video"].bytes_list.value.append(b"x")
    sequence.feature_lists.feature_list["image/encoded"].feature.add().bytes_list.value.append(png())
    found = read(sequence.SerializeToString())
    assert isinstance(found, Failure)
    assert (found.code, "tf.train.SequenceExample" in found.reason) == ("BAD_EXAMPLE", True)
    assert misread_record(make_example({"a": 1})) == misread_record(b"") == misread_record(b"\xff") == ""


def test_a_shard_that_is_compressed_with_zlib(tmp_path: Path) -> None:
    path = str(tmp_path / "a.tfrecord")
    for level in (1, 9):
        options = tf.io.TFRecordOptions(compression_type="ZLIB", compression_level=level)
        with tf.io.TFRecordWriter(path, options) as writer:
            for payload in examples(50):
                writer.write(payload)
        items = list(read_shard(Entry(path, 0, ""), end=None))
        assert [type(item) for item in items] == [Damage]
        assert "ZLIB" in str(items[0])
    damaged = write_shard(tmp_path / "b", examples(3)).read_bytes()
    assert misread_shard(b"\x78\x9c" + damaged) == misread_shard(damaged) == ""


def test_a_pointer_of_git_lfs_in_place_of_a_shard() -> None:
    assert "git lfs pull" in misread_shard(
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
    )


def test_records_of_one_name_are_told_of_their_key() -> None:
    def outcome(where: str, version: str, content: str) -> Outcome:
        return Outcome("a", Source(where, version, content))

    records = [outcome("in/shard#0", "0123abcd", "1"), outcome("in/shard#99", "0123abce", "2")]
    files = [outcome("in/a#1.jpg", "1-1", "1"), outcome("in/a#1.png", "1-1", "2")]
    assert "--name_key" in resolve(0, records, []).failed[0].reason
    assert "--keep_extension" in resolve(0, files, []).failed[0].reason
