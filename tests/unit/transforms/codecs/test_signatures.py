"""Formats told by their first bytes: what is an image here is what the decoder opens, and the rest has a name."""

import io
import struct

import cv2
import numpy as np
import pytest
from PIL import Image as PilImage
from PIL import TiffImagePlugin

from maskbeam.pipeline.inputs.containers.kinds import Kind, kind_by_content
from maskbeam.transforms.codecs.codec import HEAD_BYTES, Reader, Request
from maskbeam.transforms.codecs.registry import CODECS, codec_for, format_of, is_image
from maskbeam.transforms.codecs.signatures import CAMERA_RAW
from maskbeam.transforms.codecs.tiff_tags import unread_kind
from maskbeam.transforms.errors import ImageError
from tests.support.pictures import as_file, scene
from tests.support.tiffs import tiff

KINDS = ["JPEG", "PNG", "TIFF", "WEBP", "BMP", "GIF"]


def opened(data: bytes) -> Reader:
    return codec_for(data).open(data, Request(max_pixels=10**6))


def refused(data: bytes) -> tuple[str, str]:
    with pytest.raises(ImageError) as caught:
        opened(data)
    return caught.value.code, caught.value.reason


@pytest.mark.parametrize("kind", KINDS)
def test_pillow_and_we_call_a_file_the_same(kind: str) -> None:
    data = as_file(scene(), kind)
    assert PilImage.open(io.BytesIO(data)).format == kind
    assert format_of(data[:HEAD_BYTES]).upper() == kind
    assert kind_by_content("/d/x", lambda limit: data[:limit], named=False) is Kind.IMAGE


@pytest.mark.parametrize("prefix", TiffImagePlugin.PREFIXES)
def test_whatever_pillow_takes_for_a_tiff_is_listed_as_one(prefix: bytes) -> None:
    data = prefix + bytes(60)
    assert kind_by_content("/d/x", lambda limit: data[:limit], named=False) is Kind.IMAGE


def test_what_only_begins_like_an_image_is_none_for_anybody() -> None:
    for data in (b"BM and more text behind", b"....    WEBPVP8 " + bytes(40), b"RIFF\0\0\0\0WAVE" + bytes(40)):
        assert not is_image(data)
        assert refused(data)[0] == "UNREADABLE"


@pytest.mark.parametrize("preamble", [bytes(128), b"II*\0T\x18\x08\0".ljust(128, b"\0"), b"MM\0*".ljust(128, b"\0")])
def test_a_dicom_is_one_whatever_its_free_first_bytes_look_like(preamble: bytes) -> None:
    code, reason = refused(preamble + b"DICM" + bytes(900))
    assert (code, "DICOM" in reason) == ("UNSUPPORTED_FORMAT", True)
    assert not is_image(preamble + b"DICM")


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"II*\0\x10\0\0\0CR\x02\0", CAMERA_RAW),
        (b"IIRO\x08\0\0\0", CAMERA_RAW),
        (b"IIU\0\x18\0\0\0", CAMERA_RAW),
        (b"FUJIFILMCCD-RAW 0201", CAMERA_RAW),
        (b"\0\0\0\x18ftypcrx \0\0\0\1", CAMERA_RAW),
        (b"\0\0\0\x1cftypavif\0\0\0\0", "AVIF"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"\xff\xd8\xff\xf7\0\x0b\x08", "JPEG-LS"),
        (b"II\xbc\x01\x20\0\0\0", "JPEG XR"),
        (b"plain text", ""),
        (b"", ""),
    ],
)
def test_others_are_named(head: bytes, name: str) -> None:
    assert format_of(head) == name
    assert name not in {codec.name for codec in CODECS}


PNG, JPEG = as_file(scene(), "PNG"), as_file(scene(), "JPEG")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (PNG.replace(b"\r\n", b"\n"), "sent as text"),
        (PNG.replace(b"\n", b"\r\n"), "sent as text"),
        *[(each.decode("latin-1").encode(), "sent as text") for each in (PNG, JPEG)],
        *[(each.decode(errors="replace").encode(), "sent as text") for each in (PNG, JPEG)],
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "a web page"),
    ],
)
def test_what_stands_in_the_place_of_an_image_is_named(data: bytes, says: str) -> None:
    code, reason = refused(data)
    assert code == "UNREADABLE"
    assert says in reason


def test_a_jpeg_of_12_bits_is_no_damage() -> None:
    at = JPEG.index(b"\xff\xc0") + 4
    code, reason = refused(JPEG[:at] + b"\x0c" + JPEG[at + 1 :])
    assert (code, "12 bits" in reason) == ("UNSUPPORTED_FORMAT", True)


# Tags: 254 NewSubfileType, 259 Compression, 262 PhotometricInterpretation, 50706 DNGVersion.
THUMBNAIL = {254: 1, 259: 1, 262: 2}
RAWS = {
    "nef": tiff(THUMBNAIL, {254: 0, 259: 34713, 262: 32803}),
    "arw": tiff(THUMBNAIL, {254: 0, 259: 32767, 262: 32803}),
    "raw of another mark": tiff(THUMBNAIL, {254: 0, 259: 65000, 262: 1}),
    "linear dng": tiff(THUMBNAIL, {254: 0, 259: 7, 262: 34892}),
    "dng of a telephone": tiff({254: 0, 259: 1, 262: 32803, 50706: 1}),
    "dng of one image": tiff({254: 0, 259: 1, 262: 2, 50706: 1}),
    "pef": tiff({254: 0, 259: 65535, 262: 32803}, order=">"),
    "big": tiff(THUMBNAIL, {254: 0, 259: 1, 262: 32803}, big=True),
}


@pytest.mark.parametrize("name", RAWS)
def test_of_a_camera_raw_no_thumbnail_is_read(name: str) -> None:
    code, reason = refused(RAWS[name])
    assert (code, "camera raw" in reason) == ("UNSUPPORTED_FORMAT", True)


def test_a_raw_that_is_cut_off_behind_its_thumbnail_is_one_still() -> None:
    assert unread_kind(RAWS["nef"][:-20]) == CAMERA_RAW


def test_other_images_behind_the_first_are_no_sign_of_a_raw() -> None:
    for first in ({254: 0, 259: 1, 262: 2}, {259: 1, 262: 1}):
        assert unread_kind(tiff(first, {254: 1, 259: 1, 262: 2})) == ""
    assert unread_kind(tiff({254: 1, 259: 1, 262: 2})) == ""


@pytest.mark.parametrize(
    ("number", "name"),
    [(34887, "LERC"), (50001, "WebP"), (52546, "JPEG XL"), (34712, "JPEG 2000"), (77, "number 77")],
)
def test_a_compression_that_is_not_decoded_is_no_damage(number: int, name: str) -> None:
    code, reason = refused(tiff({259: number, 262: 2}))
    assert (code, f"TIFF with {name} compression" in reason) == ("UNSUPPORTED_FORMAT", True)


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "jpeg", "packbits", "zstd", "lzma", "tiff_adobe_deflate"])
def test_every_compression_that_pillow_writes_here_is_read(compression: str) -> None:
    assert opened(as_file(scene(), "TIFF", compression=compression)).read().values.shape == (90, 121, 3)


def test_damaged_directories_come_to_an_end() -> None:
    rng = np.random.default_rng(4)
    for whole in RAWS.values():
        cut = (whole[:length] for length in range(4, len(whole), 3))
        flipped = (whole[:at] + rng.bytes(1) + whole[at + 1 :] for at in rng.integers(4, len(whole), 40))
        for damaged in (*cut, *flipped):
            found = unread_kind(damaged)
            assert found in ("", CAMERA_RAW) or found.startswith("TIFF with ")


def test_three_bands_that_are_not_said_to_be_colours_are_refused_with_what_helps() -> None:
    pixels = np.random.default_rng(5).integers(0, 65536, (5, 7, 3), np.uint16)
    said = cv2.imencode(".tif", pixels, [cv2.IMWRITE_TIFF_COMPRESSION, 1])[1].tobytes()
    assert opened(said).size == (5, 7)
    photometric = struct.pack("<HHI", 262, 3, 1)
    assert said.count(photometric + b"\2\0") == 1
    code, reason = refused(said.replace(photometric + b"\2\0", photometric + b"\1\0"))
    assert code == "UNSUPPORTED_FORMAT"
    assert "PHOTOMETRIC=RGB" in reason
