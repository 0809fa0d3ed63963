"""Images that can be read in two ways, by their transparency or their orientation: which way, and that it is told."""

import io
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import rasterio
import tensorflow as tf
from PIL import Image as PilImage
from PIL import ImageOps
from rasterio.io import MemoryFile

from maskbeam.pipeline.options import DecodeOptions
from maskbeam.pipeline.output.claim import TEXT_KEY, Claim, Record, parse_record, record_text
from maskbeam.pipeline.reports.input_warnings import input_warnings
from maskbeam.pipeline.verify.verify import verify
from maskbeam.transforms.codecs.decode import decode
from maskbeam.transforms.codecs.encode import read_text
from maskbeam.transforms.elements import Array
from maskbeam.transforms.errors import ImageError
from maskbeam.transforms.measures.counted import Sums
from maskbeam.transforms.measures.pixel_statistics import PixelStatistics
from maskbeam.transforms.measures.pixels import PIXELS
from maskbeam.transforms.measures.two_readings import TWO_READINGS, TwoReadings
from tests.support.numpy_engine import command, run_numpy
from tests.support.pictures import as_file, encoded, scene
from tests.support.plain_script import read_pixels
from tests.support.report_inputs import sums_with

ORIENTATION = 274


def opencv(data: bytes) -> Array:
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    return pixels[..., ::-1]


def rgba() -> Array:
    return scene(30, 41, channels=4)


def oriented(format: str, orientation: int, picture: Array, **options: Any) -> bytes:
    exif = PilImage.Exif()
    exif[ORIENTATION] = orientation
    return as_file(picture, format, exif=exif, **options)


def geotiff(bands: Array, **options: Any) -> bytes:
    """A TIFF of a map, as rasterio writes one by default."""
    height, width, count = bands.shape
    place = {"crs": "EPSG:32633", "transform": rasterio.Affine(1, 0, 5e5, 0, -1, 5e6)}
    profile = {"driver": "GTiff", "height": height, "width": width, "count": count, "dtype": bands.dtype}
    with MemoryFile() as file:
        with file.open(**profile, **place, **options) as dataset:
            dataset.write(bands.transpose(2, 0, 1))
        return bytes(file.read())


@pytest.mark.parametrize("kind", ["RGBA", "LA", "P", "RGB key", "L key", "16 bits"])
def test_transparency_is_dropped_as_tensorflow_opencv_and_pillow_drop_it(kind: str) -> None:
    picture = PilImage.fromarray(rgba())
    if kind == "16 bits":
        deep = np.random.default_rng(0).integers(0, 65536, (9, 11, 4), np.uint16)
        found = decode(encoded(tf.io.encode_png(deep).numpy()))
        assert np.array_equal(found.pixels, (deep[..., :3] / np.float32(257)).astype(np.float32))
        assert found.origin.facts["transparency"] == "dropped"
        return
    flat, key = picture.convert("RGB"), tuple(rgba()[3, 4, :3])
    data = {
        "RGBA": lambda: as_file(picture, "PNG"),
        "LA": lambda: as_file(picture.convert("LA"), "PNG"),
        "P": lambda: as_file(flat.quantize(16), "PNG", transparency=bytes([0, 9, 200])),
        "RGB key": lambda: as_file(flat, "PNG", transparency=tuple(map(int, key))),
        "L key": lambda: as_file(flat.convert("L"), "PNG", transparency=100),
    }[kind]()
    found = decode(encoded(data))
    assert found.origin.facts == {"transparency": "dropped"}
    colors = np.broadcast_to(found.pixels, (30, 41, 3))
    with PilImage.open(io.BytesIO(data)) as image:
        image.info.pop("transparency", None)  # Pillow warns of it
        assert np.array_equal(colors, np.asarray(image.convert("RGB")))
    assert np.array_equal(colors, tf.io.decode_png(data, channels=3).numpy())
    assert np.array_equal(colors, opencv(data))


def test_a_background_that_is_named_shows_through() -> None:
    found = decode(encoded(as_file(rgba(), "PNG")), background=(7, 80, 200))
    expected = PilImage.new("RGB", (41, 30), (7, 80, 200))
    image = PilImage.fromarray(rgba())
    expected.paste(image, mask=image)
    assert np.abs(found.pixels.astype(int) - np.asarray(expected)).max() <= 1
    assert found.origin.facts == {"transparency": "on background"}


def test_what_is_opaque_is_the_same_either_way_and_not_counted() -> None:
    data = as_file(PilImage.fromarray(scene()).convert("RGBA"), "PNG")
    for background in (None, (0, 0, 0)):
        found = decode(encoded(data), background=background)
        assert np.array_equal(found.pixels, scene())
        assert found.origin.facts == {}


def test_near_infrared_that_gdal_calls_alpha_is_left_out_and_never_laid_over_anything() -> None:
    bands = rgba()
    data = geotiff(bands)
    with MemoryFile(data) as file, file.open() as dataset:
        assert dataset.colorinterp[3] == rasterio.enums.ColorInterp.alpha
    found = decode(encoded(data))
    assert np.array_equal(found.pixels, bands[..., :3])
    assert found.origin.facts == {}
    with pytest.raises(ImageError, match=r"BAD_CHANNELS: .*near infrared.*without --background"):
        decode(encoded(data), background=(0, 0, 0))
    bands[..., 3] = 255
    assert np.array_equal(decode(encoded(geotiff(bands)), background=(9, 9, 9)).pixels, bands[..., :3])


def test_alpha_of_a_tiff_that_is_no_map_is_alpha() -> None:
    data = as_file(rgba(), "TIFF")
    assert np.array_equal(decode(encoded(data)).pixels, rgba()[..., :3])
    expected = decode(encoded(as_file(rgba(), "PNG")), background=(0, 0, 0)).pixels
    assert np.array_equal(decode(encoded(data), background=(0, 0, 0)).pixels, expected)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_is_what_pillow_and_opencv_show(orientation: int) -> None:
    for format in ("PNG", "TIFF", "JPEG"):
        data = oriented(format, orientation, scene(20, 31))
        stored, upright = decode(encoded(data)), decode(encoded(data), upright=True)
        assert stored.pixels.shape == (20, 31, 3)
        expected = ImageOps.exif_transpose(with_orientation(PilImage.fromarray(stored.pixels), orientation))
        assert np.array_equal(upright.pixels, np.asarray(expected)), format
        assert (
            stored.origin.facts
            == upright.origin.facts
            == ({} if orientation == 1 else {"orientation": str(orientation)})
        )
    assert np.array_equal(upright.pixels, opencv(data))


def with_orientation(image: PilImage.Image, orientation: int) -> PilImage.Image:
    image.getexif()[ORIENTATION] = orientation
    return image


def test_an_image_on_its_side_is_decoded_at_the_scale_that_it_has_upright() -> None:
    data = oriented("JPEG", 6, scene(400, 600))
    stored = decode(encoded(data), fast_scale=(300, 200))
    upright = decode(encoded(data), fast_scale=(300, 200), upright=True)
    assert (stored.pixels.shape, stored.is_reduced) == ((400, 600, 3), False)
    assert (upright.pixels.shape, upright.origin.size) == ((300, 200, 3), (600, 400))


def statistics(transparent: int = 0, turned: int = 0) -> Sums:
    return sums_with({PIXELS: PixelStatistics(images=5), TWO_READINGS: TwoReadings(transparent, turned)})


def test_a_warning_names_the_flag_until_that_says_what_to_do() -> None:
    [alpha] = input_warnings(statistics(transparent=1), DecodeOptions())
    assert alpha.startswith("1 of 5 images has transparent pixels")
    assert "--background 0,0,0" in alpha
    assert input_warnings(statistics(transparent=1), DecodeOptions(background=(0, 0, 0))) == []
    [turned] = input_warnings(statistics(turned=3), DecodeOptions())
    assert turned.startswith("3 of 5 images have an EXIF orientation")
    assert "--orientation upright" in turned
    assert input_warnings(statistics(turned=3), DecodeOptions(orientation="upright")) == []
    assert input_warnings(statistics(), DecodeOptions()) == []


def test_a_record_tells_the_orientation_where_there_is_one() -> None:
    record = Record(Claim("a", "b", "c", "d", "e"), 2, 3, PixelStatistics().to_json(), {}, 6)
    assert parse_record(record_text(record)[TEXT_KEY]) == record
    assert '"orientation":6' in record_text(record)[TEXT_KEY]
    assert "orientation" not in record_text(Record(record.claim, 2, 3, record.statistics))[TEXT_KEY]


def test_runs_count_both_and_masks_lie_as_they_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture, out = scene(12, 16), tmp_path / "out"
    (tmp_path / "in").mkdir()
    (tmp_path / "in/photo.png").write_bytes(oriented("PNG", 6, picture))
    (tmp_path / "in/clear.png").write_bytes(as_file(np.dstack([picture, picture[..., :1]]), "PNG"))
    (tmp_path / "in/plain.png").write_bytes(as_file(picture, "PNG"))
    upright = picture.argmax(-1).swapaxes(0, 1)[:, ::-1]
    for flags, mask, warned in (
        ((), picture.argmax(-1), True),
        (("--orientation", "upright", "--background", "0,0,0"), upright, False),
    ):
        summaries = []
        for _ in range(2 if warned else 1):
            assert run_numpy(command(str(tmp_path / "in"), str(out), "--fail_on_degenerate", *flags)) == 0
            said = capsys.readouterr().out
            assert ("1 of 3 images has an EXIF orientation" in said) == warned
            assert ("1 of 3 images has transparent pixels" in said) == warned
            summaries.append((out / "reports/summary.json").read_bytes())
        assert summaries[0] == summaries[-1]
        summary = json.loads(summaries[0])
        assert summary["images"] == {"transparent": 1, "turned": 1}
        assert (len(summary["warnings"]), summary["degenerate"]) == (2 * warned, False)
        assert np.array_equal(read_pixels(out / "masks/photo.png"), mask)
        record = parse_record(read_text((out / "masks/photo.png").read_bytes())[TEXT_KEY])
        assert record is not None
        assert (record.orientation, record.height, record.width) == (6, *mask.shape)
        assert read_pixels(out / "reports/samples/photo.jpg").shape[:2] == mask.shape
        assert verify(str(out)) == 0
        out = tmp_path / "upright"
    text = (out / "reports/summary.json").read_text()
    (out / "reports/summary.json").write_text(text.replace('"turned": 1', '"turned": 2'))
    assert verify(str(out)) == 1
