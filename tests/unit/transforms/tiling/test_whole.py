from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskbeam.transforms.argmax import Labeling
from maskbeam.transforms.elements import Array, Image, Labels, Source
from maskbeam.transforms.errors import ImageError
from maskbeam.transforms.predict import Scores
from maskbeam.transforms.resampling.prepare import InputSpec
from maskbeam.transforms.tiling.layout import Tiling
from maskbeam.transforms.tiling.tile import Cutter
from maskbeam.transforms.tiling.weights import BLENDS, NEAREST
from maskbeam.transforms.tiling.whole import whole_labels
from tests.support.elements import decoded_image
from tests.support.tiling import PlaceEngine, plain_labels

LOGITS = Labeling("logits", (0, 1, 2))


def picture(height: int, width: int, seed: int = 0) -> Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return decoded_image("i", Source("i", "1"), pixels)


def labels_of(image: Image, tiling: Tiling, engine: PlaceEngine | None = None, labeling: Labeling = LOGITS) -> Labels:
    spec = InputSpec(*tiling.window, resize="tile")
    return whole_labels(image, Cutter(tiling, spec), labeling, engine or PlaceEngine(3))


@settings(max_examples=150)
@given(
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.integers(2, 14),
    st.sampled_from((0.0, 0.25, 0.5, 0.7)),
    st.sampled_from(BLENDS),
)
def test_labels_are_those_of_a_plain_loop(size: tuple[int, int], window: int, overlap: float, blend: str) -> None:
    tiling = Tiling((window, window), overlap, blend, 3)
    expected = plain_labels(picture(*size).pixels, PlaceEngine(3), window, tiling.stride[0], blend)
    assert np.array_equal(labels_of(picture(*size), tiling).pixels, expected)


@settings(max_examples=150)
@given(
    st.tuples(st.integers(1, 60), st.integers(1, 60)),
    st.tuples(st.integers(2, 14), st.integers(2, 14)),
    st.sampled_from((0.0, 0.25, 0.6)),
    st.sampled_from(BLENDS),
    st.integers(20, 600),
    st.integers(1, 3000),
    st.sampled_from((1, 2)),
)
def test_no_division_changes_a_bit(
    size: tuple[int, int],
    window: tuple[int, int],
    overlap: float,
    blend: str,
    block_pixels: int,
    sums_bytes: int,
    coarse: int,
) -> None:
    labeling = replace(LOGITS, keep_confidence=True)
    whole = Tiling(window, overlap, blend, 3)
    cut = replace(whole, block_pixels=block_pixels, sums_bytes=sums_bytes)
    one, other = (
        labels_of(picture(*size), tiling, PlaceEngine(3, coarse=coarse), labeling) for tiling in (whole, cut)
    )
    assert np.array_equal(one.pixels, other.pixels)
    assert np.array_equal(one.confidence, other.confidence)  # type: ignore[arg-type]
    assert (one.confidence_sum, one.confidence_pixels) == (other.confidence_sum, other.confidence_pixels)
    assert one.confidence_pixels == size[0] * size[1]


@pytest.mark.parametrize("done", [(), (0,), (1,), (0, 1, 3), (2, 4)])
def test_blocks_that_are_done_change_nothing_of_the_others(done: tuple[int, ...]) -> None:
    image, tiling = picture(50, 45), Tiling((8, 8), 0.25, "hann", 3, block_pixels=300, sums_bytes=2000)
    layout = tiling.layout((50, 45))
    assert len(layout.blocks) > 5
    spans = list(layout.spans(done))
    numbers = [number for span in spans for number in range(span.first, span.last + 1)]
    assert numbers == [block.number for block in layout.blocks if block.number not in done]
    whole, cutter = labels_of(image, tiling).pixels, Cutter(tiling, InputSpec(8, 8, resize="tile"))
    for span in spans:
        from maskbeam.transforms.tiling import whole as module

        for block in module._blocks(image, layout, span, cutter, LOGITS, PlaceEngine(3)):
            r = block.region
            assert np.array_equal(block.pixels, whole[r.top : r.top + r.height, r.left : r.left + r.width])


def test_confidence_is_that_of_the_blended_scores() -> None:
    image, tiling = picture(20, 23), Tiling((8, 8), 0.5, "constant", 3)
    labels = labels_of(image, tiling, labeling=replace(LOGITS, keep_confidence=True))
    assert labels.confidence is not None
    assert labels.confidence_sum == int(labels.confidence.sum(dtype=np.int64))
    one = labels_of(picture(8, 8), Tiling((8, 8), 0.5, "constant", 3), labeling=replace(LOGITS, keep_confidence=True))
    scores = PlaceEngine(3).scores(picture(8, 8).pixels).astype(np.float64)
    softmax = np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)
    assert np.allclose(one.confidence / 65535, softmax.max(axis=-1), atol=2e-5)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("kind", "channels"), [("sigmoid", 1), ("multilabel", 3), ("multilabel_logits", 3), ("probabilities", 3)]
)
def test_every_kind_of_head(kind: str, channels: int) -> None:
    ids = (0, 1) if channels == 1 else (0, 1, 2)
    labels = labels_of(
        picture(30, 31), Tiling((8, 8), 0.25, "hann", channels), PlaceEngine(channels), Labeling(kind, ids)
    )
    shape = (3, 30, 31) if kind.startswith("multilabel") else (30, 31)
    assert labels.pixels.shape == shape
    assert 0 < labels.confidence_sum <= 65535 * 30 * 31


def test_ids_are_taken_from_the_nearest_window() -> None:
    image, engine = picture(30, 31), PlaceEngine(3, ids=True)
    labels = labels_of(image, Tiling((8, 8), 0.25, NEAREST, 1), engine, Labeling("ids", (0, 1, 2)))
    assert np.array_equal(labels.pixels, plain_labels(image.pixels, PlaceEngine(3), 8, 6, NEAREST))
    assert labels.confidence_pixels == 0


class _Nan(PlaceEngine):
    def __call__(self, planes: Array) -> Scores:
        scores = super().__call__(planes)
        scores.logits[planes[..., 0] == 255] = np.nan
        return scores


def test_a_score_that_is_no_number_fails_the_image_and_says_where() -> None:
    image = picture(30, 31)
    image.pixels[...] = 7
    image.pixels[13, 22] = 255
    tiling = Tiling((8, 8), 0.25, "hann", 3)
    with pytest.raises(ImageError, match=r"1 of 930 pixels have a NaN.*row 13, column 22"):
        labels_of(image, tiling, _Nan(3))
    labels = labels_of(image, tiling, _Nan(3), replace(LOGITS, nonfinite="ignore"))
    assert (labels.nonfinite, labels.pixels[13, 22]) == (1, 255)
    assert np.count_nonzero(labels.pixels == 255) == 1


def test_every_batch_is_full() -> None:
    engine = PlaceEngine(3, batch_size=4)
    labels_of(picture(30, 31), Tiling((8, 8), 0.25, "hann", 3), engine)
    assert set(engine.sizes) == {4}


@settings(max_examples=60)
@given(
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.sampled_from((0.0, 0.25, 0.6)),
    st.sampled_from(BLENDS),
    st.sampled_from((150, 10**6)),
    st.integers(0, 2**31),
)
def test_where_there_is_no_data_there_is_no_class_and_elsewhere_nothing_changes(
    size: tuple[int, int], overlap: float, blend: str, sums_bytes: int, seed: int
) -> None:
    tiling = Tiling((8, 8), overlap, blend, 3, block_pixels=200, sums_bytes=sums_bytes)
    # Where there is data lies in a rectangle: other windows are empty, or partly so.
    (top, bottom), (left, right) = (
        sorted(np.random.default_rng(seed).integers(0, side + 1, (2, 2))[axis]) for axis, side in enumerate(size)
    )
    valid = np.zeros(size, np.bool_)
    valid[top:bottom, left:right] = True
    labels = labels_of(replace(picture(*size), valid=valid), tiling)
    plain = plain_labels(picture(*size).pixels, PlaceEngine(3), 8, tiling.stride[0], blend)
    assert np.array_equal(labels.pixels, np.where(valid, plain, 255))
    assert labels.confidence_pixels == np.count_nonzero(valid)
