from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from apache_beam import Create, Map
from apache_beam.testing.util import assert_that, equal_to
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from maskbeam.transforms.argmax import Argmax, Labeling, argmax, label_map, winners
from maskbeam.transforms.elements import Array, LogitsBatch
from maskbeam.transforms.errors import ImageError, RunError
from tests.support.graph import local_pipeline
from tests.support.scored import SOURCE, batch, scores_of, whole

FEW = st.sampled_from([-np.inf, -1.0, 0.0, 1.0, np.inf])


def argmax_loop(scores: Array) -> Array:
    result = np.zeros(scores.shape[:-1], int)
    for where in np.ndindex(*scores.shape[:-1]):
        for channel, score in enumerate(scores[where]):
            if score > scores[where][result[where]]:
                result[where] = channel
    return result


@settings(max_examples=60, deadline=None)
@given(arrays(np.float32, array_shapes(min_dims=1, max_dims=3, max_side=6), elements=FEW))
def test_argmax_with_ties_and_infinities_is_numpys_and_a_plain_loops(scores: Array) -> None:
    channels, nan = argmax(scores)
    assert channels.dtype == np.uint8
    assert not nan.any()
    np.testing.assert_array_equal(channels, scores.argmax(-1))
    np.testing.assert_array_equal(channels, argmax_loop(scores))


def test_more_than_256_channels_do_not_wrap() -> None:
    scores = np.zeros((2, 300), np.float32)
    scores[0, 299], scores[1, 256] = 1, 1
    assert argmax(scores)[0].tolist() == [299, 256]
    assert winners(scores.T)[0].dtype == np.uint16


@pytest.mark.parametrize("channel", [0, 1, 2])
def test_nan_is_reported_wherever_it_is(channel: int) -> None:
    scores = np.array([[1.0, 2.0, 0.0], [1.0, 2.0, 0.0]], np.float32)
    scores[0, channel] = np.nan
    channels, nan = argmax(scores)
    assert nan.tolist() == [True, False]
    assert channels.tolist() == [0, 1]


def made(scores: Array, labeling: Labeling, size: tuple[int, int] | None = None) -> Any:
    grid = scores.shape[:2]
    return label_map(batch(scores, whole(size or grid, grid)), labeling)


@pytest.mark.parametrize("kind", ["logits", "probabilities"])
def test_labels_at_the_images_size_are_the_argmax_of_tf_image_resize(kind: str) -> None:
    scores = scores_of(1, 32, 24, 5)
    found = made(scores, Labeling(kind, (0, 1, 2, 3, 4)), (111, 90))
    np.testing.assert_array_equal(found.pixels, tf.argmax(tf.image.resize(scores, (111, 90)), -1).numpy())
    assert found.pixels.dtype == np.uint8
    assert found.origin.size == (111, 90)


def test_ids_with_gaps_and_above_254_make_16_bit_labels() -> None:
    scores = scores_of(2, 9, 7, 3)
    found = made(scores, Labeling("logits", (7, 255, 40000)))
    assert found.pixels.dtype == np.uint16
    np.testing.assert_array_equal(found.pixels, np.array([7, 255, 40000])[scores.argmax(-1)])
    assert Labeling("logits", (7, 254)).dtype == np.uint8
    assert Labeling("logits", (7, 255)).ignore == 65535


def test_labels_of_logits_and_of_the_models_own_argmax_are_the_same() -> None:
    scores, placement = scores_of(3, 16, 16, 4), whole((50, 61), (16, 16))
    labeling = Labeling("logits", (3, 2, 1, 0), upsample="labels")
    from_logits = label_map(batch(scores, placement), labeling)
    from_model = label_map(batch(scores.argmax(-1).astype(np.uint8), placement), labeling)
    np.testing.assert_array_equal(from_logits.pixels, from_model.pixels)
    assert from_logits.pixels.shape == (50, 61)


def test_without_upsampling_labels_stay_at_the_models_size() -> None:
    scores = scores_of(4, 16, 16, 4)
    found = made(scores, Labeling("logits", (0, 1, 2, 3), upsample="none"), (50, 61))
    np.testing.assert_array_equal(found.pixels, scores.argmax(-1))


@pytest.mark.parametrize("threshold", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_the_threshold_is_a_probability_for_both_kinds_of_sigmoid(threshold: float) -> None:
    logits = scores_of(5, 20, 20, 1)
    probabilities = tf.sigmoid(logits).numpy()
    for kind, scores in (("sigmoid", probabilities), ("sigmoid_logits", logits)):
        found = made(scores, Labeling(kind, (0, 9), threshold=threshold))
        np.testing.assert_array_equal(found.pixels, np.where(probabilities[..., 0] > threshold, 9, 0))


def test_two_softmax_classes_and_their_sigmoid_agree_also_on_ties() -> None:
    difference = np.round(scores_of(6, 20, 20, 1))
    two = np.concatenate([np.zeros_like(difference), difference], axis=-1)
    by_sigmoid = made(difference, Labeling("sigmoid_logits", (0, 1)))
    np.testing.assert_array_equal(by_sigmoid.pixels, made(two, Labeling("logits", (0, 1))).pixels)


def test_multilabel_gives_planes_or_by_wish_the_likeliest_class() -> None:
    logits = scores_of(7, 10, 12, 3)
    planes = made(logits, Labeling("multilabel_logits", (1, 2, 3)))
    np.testing.assert_array_equal(planes.pixels, (logits > 0).transpose(2, 0, 1))
    likeliest = made(logits, Labeling("multilabel_logits", (1, 2, 3), multilabel="argmax"))
    np.testing.assert_array_equal(likeliest.pixels, logits.argmax(-1) + 1)


def test_ids_are_looked_up_and_strangers_fail_the_image() -> None:
    ids = np.array([[0, 2], [1, 1]])
    found = made(ids, Labeling("ids", (10, 20, 30)), (4, 4))
    np.testing.assert_array_equal(found.pixels, np.array([[10, 30], [20, 20]]).repeat(2, 0).repeat(2, 1))
    assert (found.confidence_sum, found.confidence_pixels) == (0, 0)
    for stranger in (3, -1):
        with pytest.raises(ImageError, match=f"class {stranger},"):
            made(np.array([[0, stranger]]), Labeling("ids", (10, 20, 30)))


@pytest.mark.parametrize("upsample", ["logits", "labels", "none"])
@pytest.mark.parametrize(("kind", "C"), [("logits", 3), ("sigmoid", 1), ("multilabel", 3)])
def test_nan_fails_the_image_or_becomes_the_ignore_label(kind: str, C: int, upsample: str) -> None:
    scores = np.ones((8, 8, C), np.float32)
    scores[3, 4, C - 1] = np.nan
    ids = tuple(range(max(C, 2)))
    with pytest.raises(ImageError, match="NONFINITE: 1 of 64"):
        made(scores, Labeling(kind, ids, upsample=upsample))
    found = made(scores, Labeling(kind, ids, upsample=upsample, nonfinite="ignore"), (16, 16))
    assert found.nonfinite == 1
    if kind == "multilabel":
        assert not found.pixels[2].all()
        assert found.pixels[:2].all()
    else:
        assert found.pixels[found.pixels.shape[0] * 7 // 16, found.pixels.shape[1] * 9 // 16] == 255
        assert (found.pixels != 255).sum() >= found.pixels.size * 0.9


def test_nan_of_unknown_place_fails_whatever_the_policy() -> None:
    one = batch(np.zeros((4, 4), np.uint8))
    broken = LogitsBatch(one.images, one.logits, one.confidence, np.array([2]))
    with pytest.raises(ImageError, match="NONFINITE"):
        label_map(broken, Labeling("logits", (0, 1), upsample="labels", nonfinite="ignore"))


def test_unsure_pixels_get_the_ignore_label() -> None:
    scores = np.array([[[0.9, 0.1], [0.6, 0.4], [0.8, 0.2]]], np.float32)
    found = made(scores, Labeling("probabilities", (1, 2), min_confidence=0.8, ignore_label=0))
    assert found.pixels.tolist() == [[1, 0, 1]]
    assert found.confidence is None


def test_unsure_classes_of_a_multilabel_model_are_left_out() -> None:
    scores = np.array([[[0.95, 0.55]]], np.float32)
    found = made(scores, Labeling("multilabel", (1, 2), min_confidence=0.9))
    assert found.pixels[:, 0, 0].tolist() == [True, False]


def test_confidence_and_what_else_the_image_brings_is_handed_on() -> None:
    picture = np.zeros((3, 3, 3), np.uint8)
    found = label_map(batch(scores_of(8, 3, 3, 2), image=picture), Labeling("logits", (0, 1), keep_confidence=True))
    assert found.confidence is not None
    assert found.confidence.dtype == np.uint16
    assert (found.image_id, found.source, found.confidence_sum, found.confidence_pixels) == ("a", SOURCE, 1234, 9)
    assert found.image is picture


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"kind": "softmax"}, "--head softmax"),
        ({"upsample": "both"}, "--upsample both"),
        ({"threshold": 1.5}, "--threshold 1.5"),
        ({"channel_ids": (0, 70000)}, "Class id 70000"),
        ({"ignore_label": 1}, "--ignore_label 1 is the id of a class"),
        ({"ignore_label": 65536}, "--ignore_label 65536 is out of range"),
        ({"kind": "ids", "keep_confidence": True}, "Confidence was asked for"),
    ],
)
def test_wrong_options_stop_the_run(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(RunError, match=message):
        Labeling(**{"kind": "logits", "channel_ids": (0, 1), **wrong})


def test_in_a_graph_failures_are_told_apart() -> None:
    good, bad = scores_of(9, 4, 4, 2), np.full((4, 4, 2), np.nan, np.float32)
    images = batch(good).images
    both = LogitsBatch(images * 2, np.stack([good, bad]), np.array([0, 0]), np.array([0, 16])).split()
    with local_pipeline() as root:
        result = root | Create(list(both)) | Argmax(Labeling("logits", (0, 1)))
        labels = result.main | "Labels" >> Map(lambda made: made.pixels.tolist())
        codes = result.failed | "Codes" >> Map(lambda failure: failure.code)
        assert_that(labels, equal_to([good.argmax(-1).tolist()]), "labels")
        assert_that(codes, equal_to(["NONFINITE"]), "codes")


def test_a_label_map_has_the_images_size_whatever_the_box() -> None:
    assert made(scores_of(1, 3, 5, 2), Labeling("logits", (0, 1)), (1, 300)).pixels.shape == (1, 300)
