"""JPEGs whose data ends before their pixels do, on every way; of whole ones TensorFlow is the oracle."""

from functools import cache
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image as PilImage

from maskbeam.pipeline.models.loading import tf_jpeg
from maskbeam.pipeline.models.loading.tf_jpeg import decode_jpeg, decode_jpeg_as_pillow
from maskbeam.transforms.codecs.codec import JpegDecoder
from maskbeam.transforms.codecs.decode import decode
from maskbeam.transforms.errors import ImageError
from tests.support.pictures import as_file, encoded, scene
from tests.unit.transforms.codecs.test_decode import promising
from tests.unit.transforms.codecs.test_jpeg_scans import SCAN, in_three_scans

HIGH, WIDE = 64, 48
WAYS: dict[str, dict[str, Any]] = {
    "Pillow": {},
    "Pillow at half the size": {"fast_scale": (32, 24)},
    "Pillow at an eighth": {"fast_scale": (1, 1)},
    "simplejpeg": {"jpeg_decoder": decode_jpeg},
    "simplejpeg as Pillow": {"jpeg_decoder": decode_jpeg_as_pillow},
    "TensorFlow": {"jpeg_decoder": decode_jpeg},
    "Pillow where simplejpeg is not": {"jpeg_decoder": decode_jpeg_as_pillow},
}
KINDS: dict[str, dict[str, Any]] = {
    "baseline": {},
    "progressive": {"progressive": True},
    "with restarts": {"restart_marker_blocks": 1},
    "progressive, with restarts": {"progressive": True, "restart_marker_rows": 1},
    "optimised": {"optimize": True},
    "colours at full size": {"subsampling": "4:4:4"},
}


@cache
def file(mode: str, kind: str, *, ends_flat: bool = False) -> bytes:
    picture = scene(HIGH, WIDE)
    if ends_flat:
        picture[-24:] = 255
    return as_file(PilImage.fromarray(picture).convert(mode), "JPEG", **KINDS[kind])


@pytest.mark.parametrize("way", WAYS)
def test_pixels_that_are_not_there_are_made_up_on_no_way(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if way in ("TensorFlow", "Pillow where simplejpeg is not"):
        monkeypatch.setattr(tf_jpeg, "_simplejpeg", lambda: None)
    for mode in ("RGB", "L", "CMYK"):
        for kind in KINDS:
            decode(encoded(file(mode, kind)), **WAYS[way])
            decode(encoded(file(mode, kind, ends_flat=True)), **WAYS[way])
            with pytest.raises(ImageError, match="UNREADABLE"):
                decode(encoded(promising(file(mode, kind), HIGH + 32, WIDE)), **WAYS[way])


@pytest.mark.parametrize("decoder", [None, decode_jpeg])
def test_a_colour_whose_scan_is_cut_is_not_made_up(
    decoder: JpegDecoder | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tf_jpeg, "_simplejpeg", lambda: None)
    data = in_three_scans()
    assert decode(encoded(data), jpeg_decoder=decoder).pixels.shape == (16, 16, 3)
    with pytest.raises(ImageError, match="more pixels than its data holds"):
        decode(encoded(data[: data.rindex(SCAN) + 30] + data[-2:]), jpeg_decoder=decoder)


def test_another_picture_behind_hides_nothing() -> None:
    two = file("RGB", "baseline") * 2
    assert decode(encoded(two)).pixels.shape == (HIGH, WIDE, 3)
    with pytest.raises(ImageError, match="more pixels than its data holds"):
        decode(encoded(promising(file("RGB", "baseline"), HIGH + 32, WIDE) + two))


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (17, 33), (9, 16), (40, 7)])
@pytest.mark.parametrize("kind", KINDS)
def test_whole_files_are_decoded_as_by_tensorflow(kind: str, size: tuple[int, int]) -> None:
    for quality in (1, 60, 100):
        data = as_file(scene(*size), "JPEG", quality=quality, **KINDS[kind])
        expected = tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE").numpy()
        assert np.array_equal(decode(encoded(data)).pixels, expected)
