"""Maps that are cut out or turned though their shapes fit, told from where they change with their input."""

from collections.abc import Callable

import keras
import numpy as np
import pytest

from maskbeam.pipeline.models.probing.fed_model import synthetic_planes
from maskbeam.pipeline.models.probing.find_geometry import check_geometry, movement, poked
from maskbeam.pipeline.models.probing.probe import probe_model
from maskbeam.transforms.elements import Array
from maskbeam.transforms.errors import RunError
from maskbeam.transforms.head import Head, make_head
from tests.unit.pipeline.models.probing.test_probe import SCALED, fake, spread

Model = Callable[[Array], Array]


def near(batch: Array) -> Array:
    """Two channels of what is around each pixel, `[N, h, w, 2]`."""
    around = [np.roll(batch, (y, x), (1, 2)) for y in (-2, -1, 0, 1) for x in (-1, 0, 1, 2)]
    return np.asarray(spread(np.mean(around, axis=0) / 255))


def pooled(batch: Array, size: int) -> Array:
    n, h, w, c = batch.shape
    return np.asarray(batch.reshape(n, h // size, size, w // size, size, c).mean(axis=(2, 4)))


def turned(values: Array) -> Array:
    return values.transpose(0, 2, 1, 3)


WHOLE: dict[str, Model] = {
    "full": near,
    "half": lambda batch: pooled(near(batch), 2),
    "one in two": lambda batch: near(batch)[:, ::2, ::2],
    "coarse, half": lambda batch: pooled(near(batch), 16).repeat(8, 1).repeat(8, 2),
    "coarse, full": lambda batch: pooled(near(batch), 16).repeat(16, 1).repeat(16, 2),
    "of all": lambda batch: pooled(near(batch) + 3 * near(batch).mean(axis=(1, 2), keepdims=True), 2),
    "and mirrored": lambda batch: pooled(near(batch) + near(batch)[:, :, ::-1], 2),
    "nothing": lambda batch: np.zeros((len(batch), 32, 32, 2)),
    "anything": lambda batch: np.random.default_rng(len(batch)).normal(size=(len(batch), 32, 32, 2)),
    "constant moves": lambda batch: np.broadcast_to(
        near(batch).mean(axis=(1, 2), keepdims=True), (len(batch), 32, 32, 2)
    ),
    "cut too small to tell": lambda batch: pooled(near(batch), 4)[:, 4:-4, 4:-4],
}
CUT: dict[str, tuple[Model, str]] = {
    "half": (lambda batch: near(batch)[:, 16:-16, 16:-16], "middle 32 x 32 .*Input((32, 32, 3)).*ZeroPadding2D(16)"),
    "of stride 2": (lambda batch: pooled(near(batch), 2)[:, 8:-8, 8:-8], "middle 32 x 32 .*ZeroPadding2D(16)"),
    "a quarter": (lambda batch: near(batch)[:, 24:-24, 24:-24], "middle 16 x 16 .*ZeroPadding2D(24)"),
}


def check(model: Model, head: Head | None = None) -> None:
    plane = synthetic_planes(1, 64, 64, 3)[0]
    check_geometry(plane, model(plane[None])[0], head or make_head("logits", "channels_last", 2), model)


@pytest.mark.parametrize("name", WHOLE)
def test_whole_maps_and_what_tells_nothing_go_on(name: str) -> None:
    check(WHOLE[name])


@pytest.mark.parametrize("name", CUT)
def test_a_part_of_the_input_is_refused(name: str) -> None:
    model, words = CUT[name]
    with pytest.raises(RunError, match=words.replace("(", r"\(").replace(")", r"\)")):
        check(model)
    with pytest.raises(RunError, match="shows only the middle"):
        check(lambda batch: model(batch)[..., 0] > 0)


@pytest.mark.parametrize(
    ("layout", "remedy"),
    [
        ("channels_last", r"End the model in Permute\(\(2, 1, 3\)\)"),
        ("channels_first", r"in Permute\(\(1, 3, 2\)\)"),
        ("flat", r"in Reshape\(\(64, 64, 2\)\) and Permute\(\(2, 1, 3\)\)"),
        ("flat_first", r"in Reshape\(\(2, 64, 64\)\) and Permute\(\(1, 3, 2\)\)"),
    ],
)
def test_rows_for_columns_are_refused(layout: str, remedy: str) -> None:
    with pytest.raises(RunError, match=remedy):
        check(lambda batch: turned(near(batch)), make_head("logits", layout, 2, grid=(64, 64)))


def test_one_channel_may_have_no_axis() -> None:
    with pytest.raises(RunError, match=r"or Permute\(\(2, 1\)\) if it has no axis"):
        check(lambda batch: turned(near(batch))[..., 0] > 0, make_head("ids", "channels_last", 1))


def test_the_movement_is_the_share_of_what_is_expected() -> None:
    planes = synthetic_planes(1, 64, 96, 3)[0]
    moved = movement(pooled(poked(planes) - planes.astype(np.float64), 2), (64, 96))
    assert moved is not None
    np.testing.assert_allclose(moved, np.eye(2), atol=0.1)


def test_the_probe_refuses_and_its_remedy_is_taken() -> None:
    """A convolution without padding leaves half of a small input."""
    image = keras.Input((32, 32, 3))
    model = keras.Model(image, keras.layers.Conv2D(2, 17, padding="valid", kernel_initializer=middle)(image))
    with pytest.raises(RunError, match=r"Input\(\(16, 16, 3\)\), keras.layers.ZeroPadding2D\(8\), model"):
        probe_model(fake(lambda batch: np.asarray(model(batch)), (None, 32, 32, 3)), SCALED)
    padded = keras.Sequential([keras.Input((16, 16, 3)), keras.layers.ZeroPadding2D(8), model])
    assert probe_model(fake(lambda batch: np.asarray(padded(batch)), (None, 16, 16, 3)), SCALED).map_size == (16, 16)


def middle(shape: tuple[int, ...], dtype: object = None) -> Array:
    """A kernel `[17, 17, C, F]` that hands on the pixel in its middle."""
    kernel = np.zeros(shape, np.float32)
    kernel[8, 8, 0], kernel[8, 8, 1] = (5, -5), (-1, 2)
    return kernel
