"""Whole files and raw tensors become pixels; TensorFlow's and OpenCV's decoders are the oracles."""

import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import apache_beam as beam
import numpy as np
import pytest
import simplejpeg
import tensorflow as tf
from apache_beam.testing.util import assert_that, equal_to
from PIL import Image as PilImage
from PIL import ImageFile

from maskbeam.pipeline.models.loading import tf_jpeg
from maskbeam.pipeline.models.loading.tf_jpeg import decode_jpeg, decode_jpeg_as_pillow
from maskbeam.transforms.codecs.decode import Decode, decode
from maskbeam.transforms.elements import Array, Companion
from maskbeam.transforms.errors import ImageError
from maskbeam.transforms.resampling.prepare import InputSpec, Prepare, prepare
from tests.support.elements import encoded_image
from tests.support.graph import local_pipeline
from tests.support.pictures import as_file, encoded, scene, with_stray_bytes

ORIENTATION = 274


@pytest.fixture(params=["simplejpeg", "TensorFlow"])
def jpeg_library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """JPEGs are decoded with simplejpeg, or as where it is not installed."""
    if request.param == "TensorFlow":
        monkeypatch.setattr(tf_jpeg, "_simplejpeg", lambda: None)
    return str(request.param)


def pixels_of(data: bytes) -> Array:
    return decode(encoded(data)).pixels


@pytest.mark.usefixtures("jpeg_library")
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_jpegs_equal_those_of_tensorflow(subsampling: str, progressive: bool) -> None:
    data = as_file(scene(), "JPEG", subsampling=subsampling, progressive=progressive, quality=85)
    fast = tf.io.decode_jpeg(data, channels=3).numpy()
    accurate = tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE").numpy()
    assert np.array_equal(pixels_of(data), accurate)
    assert np.array_equal(decode(encoded(data), jpeg_decoder=decode_jpeg).pixels, fast)
    difference = np.abs(fast.astype(int) - accurate)
    assert difference.max() <= 8
    assert 0.5 < difference.mean() < 1.1


@pytest.mark.usefixtures("jpeg_library")
def test_grey_jpegs_have_one_channel_and_equal_those_of_tensorflow() -> None:
    data = as_file(scene(channels=1), "JPEG")
    accurate = tf.io.decode_jpeg(data, channels=1, dct_method="INTEGER_ACCURATE").numpy()
    assert np.array_equal(pixels_of(data), accurate)
    fast = decode(encoded(data), jpeg_decoder=decode_jpeg).pixels
    assert np.array_equal(fast, tf.io.decode_jpeg(data, channels=1).numpy())
    assert not np.array_equal(fast, accurate)


def test_what_simplejpeg_complains_of_is_read_as_tensorflow_reads_it(capfd: pytest.CaptureFixture[str]) -> None:
    data = with_stray_bytes(as_file(scene(), "JPEG"))
    with pytest.raises(ValueError, match="extraneous"):
        simplejpeg.decode_jpeg(data)
    found = decode(encoded(data), jpeg_decoder=decode_jpeg).pixels
    assert capfd.readouterr().err == ""
    assert np.array_equal(found, tf.io.decode_jpeg(data, channels=3).numpy())
    assert "extraneous" in capfd.readouterr().err


@pytest.mark.parametrize(("mode", "channels"), [("RGB", 3), ("L", 1)])
def test_simplejpeg_decodes_without_tensorflow(mode: str, channels: int, tmp_path: Path) -> None:
    PilImage.new(mode, (8, 8)).save(tmp_path / "a.jpg")
    script = (
        "import sys; from maskbeam.pipeline.models.loading.tf_jpeg import decode_jpeg;"
        "print(decode_jpeg(open(sys.argv[1], 'rb').read(), int(sys.argv[2])).shape, 'tensorflow' in sys.modules)"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "a.jpg"), str(channels)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    assert done.stdout.strip() == f"(8, 8, {channels}) False"


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_simplejpeg_decodes_as_pillow_does_too(subsampling: str, progressive: bool) -> None:
    data = as_file(scene(), "JPEG", subsampling=subsampling, progressive=progressive, quality=85)
    assert np.array_equal(decode(encoded(data), jpeg_decoder=decode_jpeg_as_pillow).pixels, pixels_of(data))
    grey = as_file(scene(channels=1), "JPEG", progressive=progressive)
    assert np.array_equal(decode(encoded(grey), jpeg_decoder=decode_jpeg_as_pillow).pixels, pixels_of(grey))
    stray = with_stray_bytes(data)
    assert np.array_equal(decode(encoded(stray), jpeg_decoder=decode_jpeg_as_pillow).pixels, pixels_of(data))


def promising(data: bytes, height: int, width: int) -> bytes:
    """The same JPEG with another size in its header."""
    [at] = [data.index(frame) for frame in (b"\xff\xc0", b"\xff\xc2") if frame in data]
    return data[: at + 5] + height.to_bytes(2, "big") + width.to_bytes(2, "big") + data[at + 9 :]


@pytest.mark.parametrize("progressive", [False, True])
def test_a_header_that_promises_more_pixels_than_there_are_is_believed_by_no_decoder(progressive: bool) -> None:
    data = as_file(scene(64, 64), "JPEG", progressive=progressive)
    for decoder in (None, decode_jpeg_as_pillow, decode_jpeg):
        with pytest.raises(ImageError, match=r"UNREADABLE.* 12200 x 12200 pixels"):
            decode(encoded(promising(data, 12200, 12200)), jpeg_decoder=decoder)


def test_jpegs_of_nearly_nothing_are_whole() -> None:
    for progressive in (False, True):
        empty = PilImage.new("L", (1600, 1200))
        data = as_file(empty, "JPEG", quality=1, optimize=True, progressive=progressive)
        assert pixels_of(data).shape == (1200, 1600, 1)


def test_inks_stay_with_pillow_whatever_decoder_is_given() -> None:
    data = as_file(PilImage.fromarray(scene()).convert("CMYK"), "JPEG")
    assert np.array_equal(decode(encoded(data), jpeg_decoder=decode_jpeg).pixels, pixels_of(data))


@pytest.mark.usefixtures("jpeg_library")
@pytest.mark.parametrize("progressive", [False, True])
def test_damage_and_bombs_meet_the_same_rules_with_tensorflow_s_decoder(progressive: bool) -> None:
    data = as_file(scene(), "JPEG", progressive=progressive)
    for percent in range(0, 100, 5):
        with pytest.raises(ImageError, match="UNREADABLE"):
            decode(encoded(data[: len(data) * percent // 100]), jpeg_decoder=decode_jpeg)
    with pytest.raises(ImageError, match="TOO_LARGE"):
        decode(encoded(data), jpeg_decoder=decode_jpeg, max_pixels=1000)


@pytest.mark.parametrize("size", [(1, 1), (1, 30000), (30000, 1), (7, 3)])
def test_extreme_shapes_come_out_whole(size: tuple[int, int]) -> None:
    picture = scene(*size)
    assert np.array_equal(pixels_of(as_file(picture, "PNG")), picture)


@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP", "BMP"])
@pytest.mark.parametrize("channels", [1, 3])
def test_lossless_formats_give_back_every_pixel(format: str, channels: int) -> None:
    picture = scene(channels=channels)
    options = {"lossless": True} if format == "WEBP" else {}
    found = pixels_of(as_file(picture, format, **options))
    assert found.dtype == np.uint8
    assert np.array_equal(found, np.broadcast_to(picture, found.shape))


@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bit_files_come_out_at_full_depth(channels: int) -> None:
    picture = np.random.default_rng(0).integers(0, 65536, (9, 11, channels), dtype=np.uint16)
    found = pixels_of(tf.io.encode_png(picture).numpy())
    assert np.array_equal(found, (picture / np.float32(257)).astype(np.float32))
    narrow = decode(encoded(tf.io.encode_png(picture // 32).numpy()), input_range=(0, 2047)).pixels
    np.testing.assert_allclose(narrow, picture // 32 / 2047 * 255, rtol=1e-6)


def test_orientation_is_handed_on_and_not_applied() -> None:
    exif = PilImage.Exif()
    exif[ORIENTATION] = 6
    for format in ("JPEG", "PNG", "WEBP", "TIFF"):
        image = decode(encoded(as_file(scene(40, 60), format, exif=exif)))
        assert image.origin.facts == {"orientation": "6"}
        assert image.pixels.shape == (40, 60, 3)
    assert decode(encoded(as_file(scene(), "JPEG"))).origin.facts == {}


def test_a_header_without_meaning_costs_no_image() -> None:
    data = as_file(scene(), "PNG", exif=b"Exif\0\0II*\0nonsense")
    assert np.array_equal(pixels_of(data), scene())


@pytest.mark.parametrize("format", ["GIF", "PNG", "TIFF", "WEBP"])
def test_of_several_frames_the_first_is_read(format: str) -> None:
    first, second = (PilImage.fromarray(scene(seed=seed)).quantize(32) for seed in (1, 2))
    options = {"lossless": True} if format == "WEBP" else {}
    data = as_file(first, format, save_all=True, append_images=[second], **options)
    assert np.array_equal(pixels_of(data), np.asarray(first.convert("RGB")))


@pytest.mark.parametrize(("wanted", "scale"), [((100, 100), 4), ((226, 300), 1), ((30, 60), 8), ((10, 10), 8)])
def test_fast_scale_covers_the_model_and_tells_the_true_size(wanted: tuple[int, int], scale: int) -> None:
    image = decode(encoded(as_file(scene(450, 600), "JPEG")), fast_scale=wanted)
    assert image.pixels.shape[:2] == (-(-450 // scale), -(-600 // scale))
    assert (image.is_reduced, image.origin.size, image.region.size) == (scale > 1, (450, 600), (450, 600))
    made = prepare(image, InputSpec(*wanted, resize_named=True), keep_image=True)
    assert (made.placement.height, made.placement.width) == (450, 600)
    assert made.image is not None
    assert made.image.shape == (450, 600, 3)


def test_fast_scale_is_for_jpegs_only() -> None:
    image = decode(encoded(as_file(scene(400, 400), "PNG")), fast_scale=(50, 50))
    assert image.pixels.shape == (400, 400, 3)


def test_half_images_stay_refused_when_another_library_allows_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    data = as_file(scene(), "JPEG")
    with pytest.raises(ImageError, match="UNREADABLE"):
        decode(encoded(data[: len(data) // 2]))


@pytest.mark.parametrize(("kind", "advice"), [("png", "join them"), ("tif", "say --mask_format geotiff")])
def test_an_image_of_several_files_is_not_made_of_the_first(kind: str, advice: str) -> None:
    first = encoded(as_file(scene(channels=1), "PNG"))
    bands = tuple(Companion(f"x_{name}.{kind}", "1", name=name) for name in ("B04", "B03"))
    several = replace(first, origin=replace(first.origin, companions=bands))
    said = f"UNSUPPORTED_FORMAT: its bands are 2 files, and masks are PNGs: {advice}"
    with pytest.raises(ImageError, match=said):
        decode(several)
    assert decode(first).pixels.shape[2] == 1


def test_raw_tensors_keep_all_their_channels() -> None:
    tensor = np.random.default_rng(0).integers(0, 256, (4, 5, 7), dtype=np.uint8)
    image = decode(encoded(tensor.tobytes(), raw_shape=(4, 5, 7)))
    assert np.array_equal(image.pixels, tensor)
    deep = np.arange(60, dtype="<u2").reshape(4, 5, 3) * 1000
    image = decode(encoded(deep.tobytes(), raw_shape=(4, 5, 3), raw_dtype="uint16"))
    assert np.array_equal(image.pixels, (deep / np.float32(257)).astype(np.float32))


@pytest.mark.parametrize("dtype", ["int8", "uint16", "int16", "float16", "uint32", "int32", "float32", "float64"])
def test_raw_tensors_of_every_type_go_by_their_range(dtype: str) -> None:
    low, high = (-100, 120) if dtype == "int8" else (0, 3071) if dtype[0] == "u" else (-1024, 3071)
    values = np.random.default_rng(0).integers(low, high, (4, 5, 3), endpoint=True).astype(dtype)
    data = values.astype(values.dtype.newbyteorder("<")).tobytes()
    image = decode(encoded(data, raw_shape=(4, 5, 3), raw_dtype=dtype), input_range=(low, high))
    np.testing.assert_allclose(image.pixels, (values.astype(float) - low) / (high - low) * 255, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("shape", [(4, 5, 6), (0, 5, 7), (4, 5, 0)])
def test_raw_tensors_of_the_wrong_length_fail(shape: tuple[int, int, int]) -> None:
    with pytest.raises(ImageError, match="UNREADABLE"):
        decode(encoded(bytes(140), raw_shape=shape))


def test_raw_tensors_are_capped_too() -> None:
    with pytest.raises(ImageError, match="TOO_LARGE"):
        decode(encoded(bytes(140), raw_shape=(4, 5, 7)), max_pixels=19)


def test_running_out_of_memory_is_the_image_s_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(ImageFile.ImageFile, "load", full)
    with pytest.raises(ImageError, match="TOO_LARGE"):
        decode(encoded(as_file(scene(), "PNG")))


def test_an_image_that_was_not_fetched_is_our_mistake() -> None:
    with pytest.raises(ValueError, match="fetched"):
        decode(encoded_image("a", encoded(b"").source))


def test_decode_and_prepare_on_a_collection_put_failures_aside() -> None:
    good, bad = as_file(scene(10, 12), "PNG"), b"<html>not found</html>"
    with local_pipeline() as pipeline:
        images = pipeline | beam.Create([encoded(good), encoded(bad)]) | Decode(partial(decode, max_pixels=1000))
        inputs = images.main | Prepare(InputSpec(5, 6, 1))
        assert_that(inputs.main | beam.Map(lambda made: made.plane.shape), equal_to([(5, 6, 1)]), "made")
        assert_that(images.failed | beam.Map(lambda failure: failure.code), equal_to(["UNREADABLE"]), "failed")
