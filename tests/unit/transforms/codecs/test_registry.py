"""What holds for every format of the registry."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image as PilImage

from maskbeam.transforms.codecs import registry
from maskbeam.transforms.codecs.bmp import BMP
from maskbeam.transforms.codecs.codec import TEXT_BYTES, Request, WritableCodec
from maskbeam.transforms.codecs.encode import decode_written, encode_jpeg, encode_mask, is_whole
from maskbeam.transforms.codecs.registry import (
    CODECS,
    MASKS,
    channels_by_name,
    channels_of_all,
    codec_for,
    codec_of,
    image_extension,
    names_of_formats,
    writable_codecs,
)
from maskbeam.transforms.codecs.tiff import TIFF
from maskbeam.transforms.elements import Array, Region
from tests.support.documents import README
from tests.support.pictures import as_file, scene

FILES = {codec.name: as_file(scene(), codec.name.upper()) for codec in CODECS}
CLEAR = {name: as_file(scene(channels=4), name.upper()) for name in ("PNG", "TIFF", "WebP")}


@pytest.mark.parametrize("name", FILES)
def test_one_format_and_no_other_knows_its_files(name: str) -> None:
    assert [codec.name for codec in CODECS if codec.recognises(FILES[name])] == [name]


def test_names_and_extensions_belong_to_one_format_each() -> None:
    names = [codec.name for codec in CODECS]
    extensions = [each for codec in CODECS for each in codec.extensions]
    assert len(set(names)) == len(names)
    assert len(set(extensions)) == len(extensions)
    assert all(each.startswith(".") and each == each.lower() for each in extensions)
    PilImage.init()
    assert set(extensions) <= set(PilImage.registered_extensions())


@pytest.mark.parametrize(
    ("path", "extension"),
    [
        ("gs://b/d.png/a.b.JPeG", ".jpeg"),
        ("a.png.TIF", ".tif"),
        ("/d/.jpg", ""),
        ("jpg", ""),
        ("/d/a.jpg/b", ""),
        ("..jpg", ".jpg"),
        ("", ""),
    ],
)
def test_extensions_of_paths(path: str, extension: str) -> None:
    assert image_extension(path) == extension


def test_of_two_extensions_that_fit_the_longer_one_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "CODECS", (replace(BMP, extensions=(".gz", ".vol.gz")),))
    assert [image_extension(f"/d/{name}") for name in ("a.vol.gz", "a.gz", ".vol.gz")] == [".vol.gz", ".gz", ".gz"]


def test_channels_that_a_name_lets_expect(monkeypatch: pytest.MonkeyPatch) -> None:
    assert channels_of_all() == {1, 3}
    deep = replace(BMP, extensions=(".many",), channels=frozenset({3, 12}))
    monkeypatch.setattr(registry, "CODECS", (*CODECS, deep))
    assert channels_of_all() == {3}
    assert [channels_by_name(path) for path in ("a.png", "b.many", "c")] == [{1, 3}, {3, 12}, {1, 3, 12}]


@pytest.mark.parametrize(
    "data", [*FILES.values(), *CLEAR.values()], ids=[*FILES, *(f"clear {name}" for name in CLEAR)]
)
def test_a_part_is_what_lies_there_in_the_whole(data: bytes) -> None:
    codec = codec_for(data)
    whole = codec.open(data, Request(10**6)).read()
    part = codec.open(data, Request(10**6)).read(Region(7, 100, 30, 21))
    assert np.array_equal(part.values, whole.values[7:37, 100:121])
    assert (part.alpha is None) == (whole.alpha is None)
    if part.alpha is not None and whole.alpha is not None:
        assert np.array_equal(part.alpha, whole.alpha[7:37, 100:121])


@pytest.mark.parametrize("name", FILES)
def test_an_opened_image_says_what_it_is_before_it_is_decoded(name: str) -> None:
    reader = codec_for(FILES[name]).open(FILES[name], Request(10**6))
    with PilImage.open(io.BytesIO(FILES[name])) as opened:
        bands = len(opened.getbands())
    assert (reader.size, reader.reduced, reader.bands) == ((90, 121), None, bands)
    assert (reader.grid, reader.orientation) == (None, 1)


def written(codec: WritableCodec) -> tuple[Array, bytes]:
    pixels = scene() if codec.name == "JPEG" else scene()[..., 0]
    return pixels, codec.encode(pixels, text={"maskbeam": "said"})


@pytest.mark.parametrize("codec", writable_codecs(), ids=lambda codec: codec.name)
def test_what_a_run_writes_tells_its_text_and_whether_it_is_whole(codec: WritableCodec) -> None:
    pixels, data = written(codec)
    assert codec_of(data) is (codec if codec in CODECS else TIFF)
    assert [each for each in writable_codecs() if each.recognises(data)] == [codec]
    assert codec.read_text(data[:TEXT_BYTES]) == codec.read_text(data) == {"maskbeam": "said"}
    assert is_whole(data)
    assert codec.decode(data).shape == pixels.shape
    for cut in (data[:-1], data[: len(data) // 2], b""):
        assert not codec.is_whole(lambda start, end, cut=cut: cut[start:end], len(cut))  # type: ignore[misc]
        assert not is_whole(cut)
        with pytest.raises(ValueError, match=r"."):
            codec.decode(cut)


def test_masks_are_written_in_a_format_that_loses_nothing() -> None:
    for labels in (scene()[..., 0], scene()[..., 0].astype(np.uint16) * 257):
        assert np.array_equal(MASKS.decode(MASKS.encode(labels, text={})), labels)


def test_written_files_are_decoded_whatever_their_format() -> None:
    labels = scene()[..., 0]
    assert np.array_equal(decode_written(encode_mask(labels)), labels)
    assert np.abs(decode_written(encode_jpeg(scene())).astype(int) - scene()).mean() < 6
    for other in (FILES["GIF"], b"", b"text"):
        assert not is_whole(other)
        with pytest.raises(ValueError, match="no format that is written"):
            decode_written(other)


def test_the_readme_names_the_formats() -> None:
    assert f"**Images** are {names_of_formats('or')}, told by content" in README.read_text()
