"""What a file is, from its extension or its first bytes."""

import gzip
import io

import pytest
from PIL import Image

from maskbeam.pipeline.inputs.containers.kinds import (
    Kind,
    extension_of,
    is_gzip_shard,
    kind_by_content,
    kind_by_extension,
    left_out_as,
)
from maskbeam.pipeline.inputs.containers.tfrecord import frame
from maskbeam.transforms.codecs.registry import is_image
from tests.support.shard_files import png

SHARD = frame(b"x" * 500) * 3


def kind(data: bytes, *, uri: str = "/d/file", named: bool = False) -> Kind:
    return kind_by_content(uri, lambda limit: data[:limit], named=named)


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "TIFF", "WEBP", "BMP", "GIF"])
def test_every_format_that_we_decode_is_an_image(format_name: str) -> None:
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, format_name)
    assert is_image(stream.getvalue()[:64])
    assert kind(stream.getvalue()) is Kind.IMAGE


def test_shards_are_told_by_content() -> None:
    assert kind(SHARD, uri="/d/x.gz") is Kind.SHARD
    assert kind(gzip.compress(SHARD), uri="/d/x.tfrecord") is Kind.GZIP_SHARD
    assert kind(gzip.compress(b"")) is Kind.GZIP_SHARD
    assert kind(b"\x01" + SHARD[1:]) is Kind.SHARD


def test_a_record_whose_length_looks_like_gzip_is_a_plain_shard() -> None:
    data = frame(bytes(0x088B1F))
    assert data.startswith(b"\x1f\x8b\x08")
    assert not is_gzip_shard(data[:64])
    assert is_gzip_shard(gzip.compress(data)[:64])
    assert kind(data) is Kind.SHARD


@pytest.mark.parametrize(
    "data",
    [b"", b"text", gzip.compress(b"text" * 100, mtime=0), b"%PDF-1.7", b"BM and more text behind"],
)
def test_the_rest_is_left_out_unless_it_is_named(data: bytes) -> None:
    assert kind(data) is Kind.OTHER
    assert kind(data, named=True) is (Kind.IMAGE if data else Kind.SHARD)


@pytest.mark.parametrize("name", ["a.tfrecord", "a.tfrecords.gz", "train-00000-of-00010", "a.tfrec"])
def test_a_name_counts_only_where_the_content_says_nothing(name: str) -> None:
    assert kind(b"damaged from the start", uri=f"/d/{name}") is Kind.SHARD
    assert kind(gzip.compress(b"damaged")[:-3], uri=f"/d/{name}") is Kind.GZIP_SHARD
    assert kind(png(), uri=f"/d/{name}") is Kind.IMAGE


@pytest.mark.parametrize("name", ["a.NEF", "a.cr2", "a.dng", "a.tif.ovr", "a.TIF.MSK", "a.jpg.aux.xml", "a.thm"])
def test_camera_raws_and_companions_of_images_are_no_images_though_tiffs_by_content(name: str) -> None:
    assert kind_by_extension(f"/d/{name}", named=False) is Kind.OTHER


@pytest.mark.parametrize(
    ("name", "head", "expected"),
    [
        ("1.2.840.113", bytes(128) + b"DICM", "DICOM"),
        ("x.DCM", b"text", ".dcm"),
        ("scan.Miller", b"text", "with another extension"),
        ("y.a\nmaskbeam: forged", b"", "with another extension"),
        ("Miller", b"", "without extension"),
        ("a.docx", b"PK", ".docx"),
    ],
)
def test_what_is_left_out_is_counted_by_kind_and_never_by_name(name: str, head: bytes, expected: str) -> None:
    assert left_out_as(f"/d/{name}", head) == expected


def test_extensions() -> None:
    assert extension_of("/d.x/a.b.JPG") == ".jpg"
    assert extension_of("/d.x/a") == ""
    assert extension_of("/d/.jpg") == ""
    assert kind_by_extension("/d/a.JPeG", named=False) is Kind.IMAGE
    assert kind_by_extension("/d/a.txt", named=False) is Kind.OTHER
    assert kind_by_extension("/d/a.txt", named=True) is None
    assert kind_by_extension("/d/a.bin", named=False) is None
