from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from maskbeam.pipeline.output.geotiff import overlay as module
from maskbeam.pipeline.output.geotiff.overlay import SceneOverlay, small_labels
from maskbeam.transforms.codecs.encode import read_text
from maskbeam.transforms.elements import Array, Origin, Region, Source
from maskbeam.transforms.products.overlay import overlay
from maskbeam.transforms.products.rendering import Rendering

RENDERING = Rendering(frozenset({"overlay"}), {0: (255, 0, 0), 1: (0, 255, 0), 2: (0, 0, 255)}, ())


def parts_of(labels: Array, high: int, wide: int) -> list[tuple[Region, Array]]:
    """Blocks of at most this height and width, the last ones first."""
    found = []
    for top in range(0, labels.shape[0], high):
        for left in range(0, labels.shape[1], wide):
            block = labels[top : top + high, left : left + wide]
            found.append((Region(top, left, *block.shape), block))
    return found[::-1]


@given(
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    step=st.integers(1, 9),
    block=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    seed=st.integers(0, 99),
)
def test_labels_are_those_in_the_middle_however_they_come(
    size: tuple[int, int], step: int, block: tuple[int, int], seed: int
) -> None:
    labels = np.random.default_rng(seed).integers(0, 60000, size).astype(np.uint16)
    height, width = -(-size[0] // step), -(-size[1] // step)
    found = small_labels(parts_of(labels, *block), size, (height, width))
    assert found.dtype == labels.dtype
    for row in range(height):
        for column in range(width):
            at = int((row + 0.5) * size[0] / height), int((column + 0.5) * size[1] / width)
            assert found[row, column] == labels[at]


def test_it_is_drawn_strip_by_strip_as_it_would_be_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ROWS", 7)
    rng = np.random.default_rng(0)
    image, labels = rng.integers(0, 255, (50, 31, 4)).astype(np.uint8), rng.integers(0, 3, (50, 31)).astype(np.uint8)
    draw = SceneOverlay(lambda origin, longest: image, RENDERING)
    data = draw(Origin("a", Source("", ""), (50, 31)), parts_of(labels, 20, 20), {"maskbeam": "whose it is"})
    assert read_text(data)["maskbeam"] == "whose it is"
    expected = BytesIO()
    Image.fromarray(overlay(image, labels, RENDERING.palette, ignore=255)).save(expected, "JPEG", quality=90)
    difference = np.asarray(Image.open(BytesIO(data))).astype(int) - np.asarray(Image.open(expected))
    assert np.abs(difference).mean() < 3
