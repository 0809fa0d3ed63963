"""GeoTIFFs of ours without a library: their text, and whether they are whole. rasterio is the oracle."""

import struct
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rasterio.io import MemoryFile
from rasterio.shutil import copy

from maskbeam.transforms.codecs.codec import TEXT_BYTES, Fetch
from maskbeam.transforms.codecs.encode import is_whole, is_whole_file, read_text
from maskbeam.transforms.codecs.geotiff import COG_OPTIONS, GEOTIFF, TILED_OPTIONS
from maskbeam.transforms.codecs.geotiff_tags import directories, end_of_pixels, text_of
from maskbeam.transforms.codecs.registry import codec_of
from maskbeam.transforms.codecs.tiff import TIFF
from maskbeam.transforms.elements import Array
from tests.support.places import blobs

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
LABELS = blobs(640, 768)
# Text as XML holds it; GDAL takes off blanks at the ends of a value.
TEXTS = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_categories=["Cc"])).map(str.strip)
KINDS: dict[str, dict[str, Any]] = {
    "little": {},
    "big-endian": {"endianness": "BIG"},
    "BigTIFF": {"bigtiff": "YES"},
    "big-endian BigTIFF": {"bigtiff": "YES", "endianness": "BIG"},
    "strips": {"tiled": False},
}


def fetch_of(data: bytes) -> Fetch:
    return lambda start, end: data[start:end]


@cache
def ours() -> bytes:
    return GEOTIFF.encode(LABELS, text={"maskbeam": '{"a":1}'})


@cache
def masked() -> bytes:
    """One with a mask inside, so that what ends last is no image."""
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK="YES"), MemoryFile() as held, MemoryFile() as made:
        with held.open(driver="GTiff", height=640, width=768, count=1, dtype="uint8", **TILED_OPTIONS) as file:
            file.write(LABELS, 1)
            file.write_mask(LABELS > 0)
        copy(held.name, made.name, driver="COG", **COG_OPTIONS)
        return bytes(made.read())


def written(kind: str, tags: dict[str, str], *, compress: str = "deflate") -> bytes:
    options = {"tiled": True, "blockxsize": 128, "blockysize": 128, "compress": compress, **KINDS[kind]}
    if kind == "strips":
        del options["blockxsize"]
    with MemoryFile() as held:
        with held.open(driver="GTiff", height=640, width=768, count=1, dtype="uint8", **options) as file:
            file.write(LABELS, 1)
            file.update_tags(**tags)
            file.update_tags(1, band="is no item of the file as a whole")
        return bytes(held.read())


@pytest.mark.parametrize("kind", KINDS)
@given(text=TEXTS)
@example(text='{"a":"<b>&amp;\'"}')
@example(text="&quot;&amp;lt;")
@settings(max_examples=12)
def test_text_is_what_rasterio_reads_in_every_kind_of_tiff(kind: str, text: str) -> None:
    data = written(kind, {"maskbeam": text, "other": "said, too"})
    with MemoryFile(data) as held, held.open() as file:
        tags = file.tags()
    found = text_of(next(directories(fetch_of(data))), fetch_of(data))
    assert found.get("maskbeam", "") == tags.get("maskbeam", "") == text
    assert found.get("other") == tags["other"]
    assert "band" not in found


@pytest.mark.parametrize("kind", KINDS)
def test_the_end_of_pixels_is_that_of_the_last_tile(kind: str) -> None:
    data = written(kind, {}, compress="none")
    end = end_of_pixels(next(directories(fetch_of(data))), fetch_of(data))
    altered = data[: end - 1] + bytes([77]) + data[end:]
    with MemoryFile(altered) as held, held.open() as file:
        found = file.read(1)
    assert found[-1, -1] == 77
    assert np.array_equal(found.ravel()[:-1], LABELS.ravel()[:-1])


@pytest.mark.parametrize("labels", [LABELS, LABELS.astype(np.uint16) * 300, LABELS[:1, :1]])
def test_what_is_encoded_is_decoded(labels: Array) -> None:
    data = GEOTIFF.encode(labels, text={"maskbeam": "said"})
    assert np.array_equal(GEOTIFF.decode(data), labels)
    with MemoryFile(data) as held, held.open() as file:
        assert np.array_equal(file.read(1), labels)
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"


def test_colours_are_decoded() -> None:
    colors = np.stack([LABELS, LABELS * 2, 255 - LABELS], axis=2)
    assert np.array_equal(GEOTIFF.decode(GEOTIFF.encode(colors, text={})), colors)


@pytest.mark.parametrize("wrong", [LABELS.astype(np.float32), np.zeros((0, 5), np.uint8)])
def test_what_it_does_not_hold_is_refused(wrong: Array) -> None:
    with pytest.raises(ValueError, match="uint8 or uint16"):
        GEOTIFF.encode(wrong, text={})


def test_the_text_lies_in_front_and_no_more_than_that_is_read() -> None:
    assert read_text(ours()[:TEXT_BYTES]) == {"maskbeam": '{"a":1}'}
    assert GEOTIFF.read_text(ours()[:1000]) == {"maskbeam": '{"a":1}'}
    assert GEOTIFF.read_text(ours()[:300]) == {}


def test_only_our_layout_is_ours_and_images_stay_plain_tiffs() -> None:
    assert codec_of(ours()) is TIFF
    for kind in KINDS:
        data = written(kind, {"maskbeam": "x"})
        assert not GEOTIFF.recognises(data)
        assert read_text(data) == {}
        assert not is_whole(data)


@pytest.mark.parametrize("data", [ours, masked])
def test_a_file_that_is_cut_off_anywhere_is_not_whole(data: Callable[[], bytes]) -> None:
    whole = data()
    assert is_whole(whole)
    for size in (*range(0, len(whole), 61), *range(len(whole) - 20, len(whole))):
        assert not is_whole(whole[:size]), size
        with pytest.raises(ValueError, match="no whole GeoTIFF"):
            GEOTIFF.decode(whole[:size])


def test_whether_it_is_whole_is_told_by_little_of_it() -> None:
    labels = np.random.default_rng(0).integers(0, 5, (3000, 3000), np.uint8)
    data, read = GEOTIFF.encode(labels, text={"maskbeam": "x" * 9000}), [0]

    def fetch(start: int, end: int) -> bytes:
        read[0] += len(data[start:end])
        return data[start:end]

    assert is_whole_file(fetch, len(data))
    assert not is_whole_file(fetch, len(data) - 1)
    assert read[0] < 8000


def test_directories_in_a_circle_come_to_an_end() -> None:
    data = bytearray(ours())
    at = struct.unpack_from("<I", data, 4)[0]
    (count,) = struct.unpack_from("<H", data, at)
    struct.pack_into("<I", data, at + 2 + 12 * count, at)
    assert GEOTIFF.read_text(bytes(data)) == {"maskbeam": '{"a":1}'}
    assert not is_whole(bytes(data))
    with pytest.raises(ValueError, match="no end"):
        list(directories(fetch_of(bytes(data))))


def test_a_chain_without_end_comes_to_an_end() -> None:
    """A thousand directories without a tag, each behind the other."""
    data = b"II*\0" + b"".join(struct.pack("<IH", at + 4, 0) for at in range(4, 6004, 6))
    with pytest.raises(ValueError, match="no end"):
        list(directories(fetch_of(data)))


@pytest.mark.parametrize("count", [0xFFFFFFFF, 1 << 25])
def test_numbers_in_it_are_not_believed(count: int) -> None:
    """Text of four gigabytes is none, and nothing is asked for that is as long."""
    data = bytearray(ours())
    at = data.index(struct.pack("<HH", 42112, 2))
    struct.pack_into("<I", data, at + 4, count)
    asked: list[int] = []

    def fetch(start: int, end: int) -> bytes:
        asked.append(end - start)
        return bytes(data[start:end])

    directory = next(directories(fetch))
    with suppress(ValueError):
        text_of(directory, fetch)
    assert GEOTIFF.read_text(bytes(data)) == {}
    assert max(asked) <= 16 << 20


def never_fails(data: bytes) -> None:
    assert isinstance(GEOTIFF.read_text(data), dict)
    assert is_whole(data) in (True, False)
    fetch = fetch_of(data)
    with suppress(ValueError):
        for directory in directories(fetch):
            with suppress(ValueError):
                text_of(directory, fetch)
            with suppress(ValueError):
                end_of_pixels(directory, fetch)


@given(
    st.sampled_from([*KINDS, "ours", "masked"]),
    st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), max_size=6),
    st.integers(0, 4000),
)
@settings(max_examples=300)
def test_damaged_files_are_nothing_and_never_an_error(kind: str, flips: list[tuple[int, int]], cut: int) -> None:
    whole = {"ours": ours, "masked": masked}.get(kind, lambda: _plain(kind))()
    data = bytearray(whole if cut > 3000 else whole[:cut])
    for at, value in flips:
        if at < len(data):
            data[at] = value
    never_fails(bytes(data))


@cache
def _plain(kind: str) -> bytes:
    return written(kind, {"maskbeam": "said"})


@given(st.sampled_from([b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"]), st.binary(max_size=300))
@settings(max_examples=200)
def test_nonsense_is_nothing_and_never_an_error(begin: bytes, rest: bytes) -> None:
    never_fails(begin + rest)
    never_fails(begin + b"\x08\0\0\0" + rest)


# rasterio cannot log a message of GDAL's that quotes a damaged text.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@given(st.lists(st.tuples(st.integers(0, len(ours()) - 1), st.integers(0, 255)), min_size=1, max_size=4))
@settings(max_examples=150)
def test_damaged_files_are_decoded_to_their_pixels_or_refused(flips: list[tuple[int, int]]) -> None:
    data = bytearray(ours())
    for at, value in flips:
        data[at] = value
    with suppress(ValueError):
        assert GEOTIFF.decode(bytes(data)).dtype in (np.uint8, np.uint16)
