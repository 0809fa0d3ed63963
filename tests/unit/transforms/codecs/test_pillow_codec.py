"""What is let in, what is refused and why: damage, bombs, foreign files."""

import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from contextlib import suppress

import numpy as np
import pytest
from PIL import Image as PilImage

from maskbeam.transforms.codecs.codec import Reader, Request
from maskbeam.transforms.codecs.pillow_errors import decoder_errors
from maskbeam.transforms.codecs.registry import codec_for
from maskbeam.transforms.errors import ImageError
from tests.support.pictures import as_file, scene

FILES = {
    "jpeg": as_file(scene(), "JPEG"),
    "progressive jpeg": as_file(scene(), "JPEG", progressive=True),
    "png": as_file(scene(), "PNG"),
    "tiff": as_file(scene(), "TIFF"),
    "deflated tiff": as_file(scene(), "TIFF", compression="tiff_deflate"),
    "tiff of lzw": as_file(scene(), "TIFF", compression="tiff_lzw"),
    "webp": as_file(scene(), "WEBP"),
    "bmp": as_file(scene(), "BMP"),
    "gif": as_file(PilImage.fromarray(scene()).quantize(64), "GIF"),
}


def failure(data: bytes, max_pixels: int = 10**6) -> tuple[str, str]:
    """Code and reason of an image that must not open and load."""
    with pytest.raises(ImageError) as caught:
        load(data, max_pixels)
    return caught.value.code, caught.value.reason


def load(data: bytes, max_pixels: int = 10**6) -> Reader:
    """An image that opens, and whose pixels are all there."""
    reader = codec_for(data).open(data, Request(max_pixels))
    assert reader.read().values.shape[:2] == reader.size
    return reader


@pytest.mark.parametrize("name", FILES)
def test_whole_files_load_and_files_cut_anywhere_fail(name: str) -> None:
    data = FILES[name]
    assert load(data).size == (90, 121)
    for percent in range(0, 100, 5):
        assert failure(data[: len(data) * percent // 100])[0] == "UNREADABLE", percent


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, *chunks: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(chunks) + chunk(b"IEND", b"")


def flips(data: bytes) -> Iterator[bytes]:
    rng = np.random.default_rng(3)
    for place in [*range(8, 60), *rng.integers(8, len(data), 300)]:
        damaged = bytearray(data)
        damaged[place] ^= 1 << rng.integers(8)
        yield bytes(damaged)


def test_every_flipped_bit_of_a_png_is_noticed() -> None:
    for damaged in flips(FILES["png"]):
        assert failure(damaged)[0] == "UNREADABLE"


def test_a_flip_that_the_compression_does_not_notice_is_noticed_by_the_checksum() -> None:
    # Stored, not deflated: every value of every pixel is a valid stream. The stream's own checksum comes in a chunk
    # behind all pixels, where decoders have stopped to read. So nothing but the chunk's CRC tells.
    body = zlib.compress(b"\0" + bytes(50), level=0)
    whole = png(50, 1, chunk(b"IDAT", body[:-4]), chunk(b"IDAT", body[-4:]))
    assert load(whole).size == (1, 50)
    assert failure(whole.replace(bytes(50), bytes(20) + b"\1" + bytes(29)))[0] == "UNREADABLE"


def test_bombs_are_refused_before_they_are_decoded() -> None:
    bomb = png(14000, 14000, chunk(b"IDAT", zlib.compress(bytes(14001 * 14000), 9)))
    assert len(bomb) < 250_000
    code, reason = failure(bomb, max_pixels=10**8)
    assert code == "TOO_LARGE"
    assert "196000000" in reason
    assert "--max_pixels" in reason


@pytest.mark.parametrize("name", FILES)
def test_the_cap_is_the_number_of_pixels_itself(name: str) -> None:
    assert load(FILES[name], max_pixels=121 * 90).size == (90, 121)
    assert failure(FILES[name], max_pixels=121 * 90 - 1)[0] == "TOO_LARGE"


def test_images_beyond_pillow_s_own_limit_are_up_to_our_cap() -> None:
    data = as_file(PilImage.new("1", (20_000, 10_000)), "TIFF", compression="group4")
    assert load(data, max_pixels=200_000_000).size == (10_000, 20_000)


@pytest.mark.parametrize(
    ("data", "code", "word"),
    [
        (b"", "UNREADABLE", "no bytes"),
        (b"\0", "UNREADABLE", "JPEG, PNG"),
        (b"<!doctype html><html>404</html>", "UNREADABLE", "a web page"),
        (bytes(range(256)) * 9, "UNREADABLE", "JPEG, PNG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "UNSUPPORTED_FORMAT", "PostScript"),
        (b"8BPS\0\1" + bytes(80), "UNSUPPORTED_FORMAT", "Photoshop"),
        (b"SIMPLE  =                    T".ljust(2880), "UNSUPPORTED_FORMAT", "FITS"),
        (b"%PDF-1.7\n", "UNSUPPORTED_FORMAT", "PDF"),
        (bytes(128) + b"DICM", "UNSUPPORTED_FORMAT", "DICOM"),
        (as_file(scene(), "AVIF"), "UNSUPPORTED_FORMAT", "AVIF"),
        (as_file(scene(), "JPEG2000"), "UNSUPPORTED_FORMAT", "JPEG 2000"),
        (as_file(scene(), "PPM"), "UNREADABLE", "JPEG, PNG"),
        (as_file(scene(), "ICO"), "UNREADABLE", "JPEG, PNG"),
    ],
    ids=range(13),
)
def test_what_is_not_one_of_the_formats_is_never_opened(data: bytes, code: str, word: str) -> None:
    found, reason = failure(data)
    assert found == code
    assert word in reason


def test_a_pointer_of_git_lfs_is_told_from_a_damaged_image() -> None:
    with pytest.raises(ImageError, match=r"UNREADABLE: .*git lfs pull"):
        codec_for(b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n")


def test_signatures_alone_are_not_images() -> None:
    for data in FILES.values():
        assert failure(data[:18] + b"Jane Doe 1970-01-01" * 9) in [
            ("UNREADABLE", "its data is damaged, cut short or of a kind that Pillow cannot read"),
            ("UNREADABLE", "the PNG data is damaged or cut short: a checksum does not fit, or the end is missing"),
        ]


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_deflate", "jpeg"])
def test_libtiff_keeps_to_itself_what_it_thinks_of_a_file(
    compression: str, capfd: pytest.CaptureFixture[str]
) -> None:
    data = bytearray(as_file(scene(), "TIFF", compression=compression))
    data[200:1200] = (byte ^ 0x5A for byte in data[200:1200])
    with suppress(ImageError):
        load(bytes(data))
    assert capfd.readouterr().err == ""


def test_pillow_s_log_and_warnings_stay_off_the_terminal() -> None:
    script = (
        "import logging, warnings; from maskbeam.pipeline.terminal.logs import quiet; quiet();"
        "logging.getLogger('PIL.TiffImagePlugin').error('more samples');"
        "warnings.warn_explicit('malformed', UserWarning, 'x.py', 1, module='PIL.JpegImagePlugin')"
    )
    done = subprocess.run([sys.executable, "-c", script], stderr=subprocess.PIPE, check=True, text=True)
    assert done.stderr == ""


def test_our_own_memory_runs_out_as_such() -> None:
    with pytest.raises(MemoryError), decoder_errors():
        raise MemoryError


def test_bytes_behind_the_end_of_a_png_do_not_matter() -> None:
    assert load(FILES["png"] + b"appended by a camera").size == (90, 121)
