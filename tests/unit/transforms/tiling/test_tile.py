"""Windows in a graph: bundles side by side, bundles that fail, the same image twice, the order of what comes out."""

import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.testing.util import assert_that, equal_to

from maskbeam.transforms.argmax import Labeling
from maskbeam.transforms.elements import Array, FailedImage, Image, Labels, ModelInput, Source
from maskbeam.transforms.predict import Predict, Scores
from maskbeam.transforms.resampling.prepare import InputSpec
from maskbeam.transforms.tiling import tile as tile_module
from maskbeam.transforms.tiling.blend import Blend
from maskbeam.transforms.tiling.layout import Tiling
from maskbeam.transforms.tiling.tile import Cutter, Tile
from tests.support.elements import decoded_image
from tests.support.graph import local_pipeline
from tests.support.tiling import PlaceEngine, plain_labels

TILING = Tiling((8, 8), 0.25, "hann", 3, block_pixels=150, sums_bytes=1)
CUTTER = Cutter(TILING, InputSpec(8, 8, resize="tile"))
LOGITS = Labeling("logits", (0, 1, 2))
SIZE = (40, 50)
POISON = 251


@dataclass(frozen=True)
class Loader:
    def __call__(self) -> "PoisonedEngine":
        return PoisonedEngine(3)


class PoisonedEngine(PlaceEngine):
    """Fails on a plane whose first value is `POISON`."""

    def __call__(self, planes: Array) -> Scores:
        if (planes[:, 0, 0, 0] == POISON).any():
            raise ValueError
        return super().__call__(planes)


def picture(seed: int, size: tuple[int, int] = SIZE, name: str = "") -> Image:
    pixels = np.random.default_rng(seed).integers(0, 250, (*size, 3), np.uint8)
    return decoded_image(name or f"i{seed}", Source(name or f"i{seed}", "1"), pixels)


def labels_of(images: list[Image], done: Any) -> None:
    """Runs a graph of these images, and calls `done` with a list of what came of each, in order."""
    with local_pipeline() as p:
        tiled = p | beam.Create([images]) | beam.FlatMap(list) | Tile(CUTTER)
        predicted = tiled.main | Predict(Loader())
        blended = predicted.main | Blend(TILING, LOGITS)
        every = (blended.main, blended.block, tiled.saved, blended.failed) | beam.Flatten()
        _ = (
            every
            | beam.Map(lambda element: (0, element))
            | beam.GroupByKey()
            | beam.MapTuple(lambda _, all: done(all))
        )


def together(blocks: list[Labels]) -> Array:
    whole = np.full(SIZE, -1)
    for block in blocks:
        top, left, height, width = (getattr(block.region, name) for name in ("top", "left", "height", "width"))
        whole[top : top + height, left : left + width] = block.pixels
    return whole


def check(seeds: list[int], found: Any) -> None:
    by_image: dict[tuple[str, int], list[Labels]] = {}
    for labels in found:
        by_image.setdefault((labels.image_id, labels.origin.turn), []).append(labels)
    assert sorted(name for name, _ in by_image) == sorted(f"i{seed}" for seed in seeds)
    for (name, _), blocks in by_image.items():
        plain = plain_labels(picture(int(name[1:])).pixels, PlaceEngine(3), 8, 6, "hann")
        assert np.array_equal(together(blocks), plain)


@dataclass(frozen=True)
class Check:
    seeds: tuple[int, ...]

    def __call__(self, found: Any) -> None:
        check(list(self.seeds), list(found))


def test_bundles_side_by_side_do_not_wait_for_each_other_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tile_module, "_AT_ONCE", threading.BoundedSemaphore(1))
    with ThreadPoolExecutor(6) as threads:
        runs = [
            threads.submit(labels_of, [picture(seed) for seed in seeds], Check(seeds))
            for seeds in ((1, 2), (3,), (4, 5), (6,), (7,), (8,))
        ]
        for run in runs:
            run.result(timeout=60)


def test_an_image_that_is_there_twice_comes_out_twice() -> None:
    labels_of([picture(1), picture(1), picture(2)], Check((1, 1, 2)))


def test_small_images_that_are_there_twice_come_out_twice() -> None:
    small = replace(TILING, block_pixels=10**6, sums_bytes=10**9)
    with local_pipeline() as p:
        tiled = p | beam.Create([[picture(1)] * 5]) | beam.FlatMap(list) | Tile(replace(CUTTER, tiling=small))
        blended = (tiled.main | Predict(Loader())).main | Blend(small, LOGITS)
        assert_that(blended.main | beam.Map(lambda labels: labels.image_id), equal_to(["i1"] * 5))


def dies(window: ModelInput) -> ModelInput:
    """A step behind the windows that fails in the middle of an image."""
    if window.window and window.window.number == 3:
        raise RuntimeError("the disk is full")
    return window


def test_a_bundle_that_fails_gives_its_permit_back() -> None:
    gc.disable()
    try:
        with pytest.raises(RuntimeError, match="the disk is full"), local_pipeline() as p:
            _ = (p | beam.Create([[picture(1)]]) | beam.FlatMap(list) | Tile(CUTTER)).main | beam.Map(dies)
        free = tile_module._AT_ONCE._value
    finally:
        gc.enable()
    assert free == 2


def kind_and_place(element: Labels | FailedImage) -> str:
    return "failed" if isinstance(element, FailedImage) else f"{element.region.top}"


def test_a_failure_comes_behind_the_blocks_that_were_done_before_it() -> None:
    image = picture(1)
    image.pixels[30, 0] = POISON
    with local_pipeline() as p:
        tiled = p | beam.Create([[image]]) | beam.FlatMap(list) | Tile(CUTTER)
        blended = (tiled.main | Predict(Loader())).main | Blend(TILING, LOGITS)
        told = blended.block | beam.Map(kind_and_place) | beam.Map(lambda word: (0, word)) | beam.GroupByKey()
        assert_that(told | beam.MapTuple(lambda _, words: list(words)), in_one_order)


def in_one_order(found: list[list[str]]) -> None:
    ((*blocks, end),) = found
    assert end == "failed"
    assert blocks == sorted(blocks, key=int)
    assert blocks
