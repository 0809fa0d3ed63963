"""Fitting images to models: channels, sizes, placements."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image as PilImage

from maskbeam.transforms.elements import Placement, Region
from maskbeam.transforms.errors import ImageError
from maskbeam.transforms.resampling.prepare import InputSpec, prepare
from maskbeam.transforms.resampling.resize import resize_bilinear_tf
from tests.support.pictures import SOURCE, decoded, scene

SIDES = st.integers(1, 60)


def test_stretch_fills_the_model_s_size_as_tensorflow_does() -> None:
    made = prepare(decoded(scene(), orientation="3"), InputSpec(64, 80))
    assert np.array_equal(made.plane, tf.image.resize(scene(), (64, 80)).numpy())
    assert made.placement == Placement(90, 121, 64, 80, 0, 0, 64, 80)
    assert (made.image_id, made.source, made.origin.facts, made.image) == (
        "picture",
        SOURCE,
        {"orientation": "3"},
        None,
    )


def test_an_image_of_the_model_s_size_is_not_even_copied() -> None:
    picture = scene(64, 80)
    for resize in ("stretch", "native"):
        assert prepare(decoded(picture), InputSpec(64, 80, resize=resize)).plane is picture


@pytest.mark.parametrize(
    ("size", "fits"),
    [
        *[((128, 128), True), ((512, 512), True), ((128, 192), True), ((192, 128), True), ((1, 1), True)],
        *[((513, 512), False), ((128, 193), False), ((193, 128), False), ((1, 2), False), ((1, 30000), False)],
    ],
)
def test_stretch_refuses_what_it_would_distort_unless_it_was_named(size: tuple[int, int], fits: bool) -> None:
    image, spec = decoded(scene(*size)), InputSpec(128, 128)
    if fits:
        assert prepare(image, spec).plane.shape == (128, 128, 3)
    else:
        with pytest.raises(ImageError, match=r"BAD_SHAPE: .*--resize"):
            prepare(image, spec)
    assert prepare(image, replace(spec, resize_named=True)).plane.shape == (128, 128, 3)


def test_the_true_size_decides_after_decoding_at_reduced_scale() -> None:
    image = replace(decoded(scene(60, 60)), region=Region.whole((480, 480)))
    assert prepare(image, InputSpec(120, 120)).placement == Placement(480, 480, 120, 120, 0, 0, 120, 120)
    with pytest.raises(ImageError, match="BAD_SHAPE"):
        prepare(image, InputSpec(60, 60))
    with pytest.raises(ValueError, match="full scale"):
        prepare(image, InputSpec(None, None, resize="native"))


@settings(max_examples=80, deadline=None)
@given(SIDES, SIDES, SIDES, SIDES)
@example(50, 50, 50, 50)
@example(33, 47, 60, 60)
def test_letterbox_is_tensorflow_s_resize_with_pad(rows: int, columns: int, height: int, width: int) -> None:
    picture = scene(rows, columns)
    made = prepare(decoded(picture), InputSpec(height, width, resize="letterbox"))
    place = made.placement
    assert (place.height, place.width, place.input_height, place.input_width) == (rows, columns, height, width)
    box = made.plane[place.top : place.top + place.box_height, place.left : place.left + place.box_width]
    assert box.shape == (place.box_height, place.box_width, 3)
    assert np.array_equal(box, resize_bilinear_tf(picture, place.box_height, place.box_width))
    assert made.plane.sum(dtype=np.float64) == pytest.approx(box.sum(dtype=np.float64))
    ratio = max(np.float32(rows) / np.float32(height), np.float32(columns) / np.float32(width))
    if min(np.float32(rows) / ratio, np.float32(columns) / ratio) >= 1:  # TensorFlow fails where a side would vanish
        assert np.array_equal(made.plane, tf.image.resize_with_pad(picture, height, width).numpy())


def test_letterbox_keeps_one_line_of_the_thinnest_image() -> None:
    made = prepare(decoded(scene(1, 30000)), InputSpec(128, 128, resize="letterbox"))
    assert made.placement == Placement(1, 30000, 128, 128, 63, 0, 1, 128)


@settings(max_examples=60, deadline=None)
@given(SIDES, SIDES, st.sampled_from([1, 2, 16, 32, 48]))
@example(1, 1, 32)
@example(1, 60, 32)
@example(2, 3, 48)
def test_native_reflects_up_to_the_stride(rows: int, columns: int, stride: int) -> None:
    picture = scene(rows, columns)
    made = prepare(decoded(picture), InputSpec(None, None, resize="native", stride=stride))
    height, width, channels = made.plane.shape
    assert (height % stride, width % stride, channels) == (0, 0, 3)
    assert height - rows < stride
    assert width - columns < stride
    assert made.plane.dtype == np.uint8
    assert made.placement == Placement(rows, columns, height, width, 0, 0, rows, columns)
    for y, x in ((0, 0), (height - 1, width - 1), (rows - 1, width - 1), (height - 1, 0), (height // 2, width // 2)):
        assert np.array_equal(made.plane[y, x], picture[mirrored(y, rows), mirrored(x, columns)])


def mirrored(place: int, size: int) -> int:
    """Walks to `place` from 0, turning round at both ends."""
    at, step = 0, 1
    for _ in range(place if size > 1 else 0):
        if not 0 <= at + step < size:
            step = -step
        at += step
    return at


def test_filters_are_chosen_by_name() -> None:
    picture = scene(60, 60)
    for name, resampling in (("pillow", PilImage.Resampling.BILINEAR), ("nearest", PilImage.Resampling.NEAREST)):
        made = prepare(decoded(picture), InputSpec(31, 33, resize_filter=name))
        assert made.plane.dtype == np.uint8
        assert np.array_equal(made.plane, np.asarray(PilImage.fromarray(picture).resize((33, 31), resampling)))


def test_grey_is_repeated_and_colour_becomes_luma() -> None:
    grey = scene(channels=1)
    made = prepare(decoded(grey), InputSpec(64, 80, 3))
    assert np.array_equal(made.plane, tf.image.resize(np.repeat(grey, 3, axis=2), (64, 80)).numpy())
    luma = np.asarray(PilImage.fromarray(scene()).convert("L"))[..., np.newaxis]
    assert np.array_equal(prepare(decoded(scene()), InputSpec(90, 121, 1)).plane, luma)
    floats = prepare(decoded(scene().astype(np.float32)), InputSpec(90, 121, 1)).plane
    assert floats.dtype == np.float32
    assert np.abs(floats - luma).max() < 1


@pytest.mark.parametrize(("held", "wanted"), [(1, 4), (3, 4), (4, 3), (4, 1), (2, 3), (7, 5)])
def test_other_channels_are_refused_with_both_counts(held: int, wanted: int) -> None:
    with pytest.raises(ImageError, match=rf"BAD_CHANNELS: .*{held} .*{wanted}"):
        prepare(decoded(scene(channels=held)), InputSpec(64, 80, wanted))


def test_one_band_where_a_model_takes_several_says_what_a_shell_may_have_done() -> None:
    said = "1 band and the model takes 4; if bands are files of their own, put the pattern in quotes"
    with pytest.raises(ImageError, match=said):
        prepare(decoded(scene(channels=1)), InputSpec(64, 80, 4))
    with pytest.raises(ImageError, match=r"it has 3 channels and the model takes 4$"):
        prepare(decoded(scene(channels=3)), InputSpec(64, 80, 4))


def test_raw_tensors_of_many_channels_fit_their_models() -> None:
    picture = scene(channels=7)
    made = prepare(decoded(picture), InputSpec(64, 80, 7))
    assert np.array_equal(made.plane, tf.image.resize(picture, (64, 80)).numpy())


def test_images_are_kept_to_draw_on_only_when_asked_for() -> None:
    picture = scene()
    assert prepare(decoded(picture), InputSpec(64, 80), keep_image=True).image is picture
    floats = decoded(picture.astype(np.float32) + 0.25)
    kept = prepare(floats, InputSpec(64, 80), keep_image=True).image
    assert kept is not None
    assert kept.dtype == np.uint8
    assert np.array_equal(kept, picture)


@pytest.mark.parametrize("resize", ["stretch", "letterbox"])
def test_a_free_size_can_only_be_native(resize: str) -> None:
    with pytest.raises(ValueError, match="free"):
        prepare(decoded(scene()), InputSpec(None, 80, resize=resize))
