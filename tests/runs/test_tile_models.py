"""Windows through real models: whole, in blocks of several sizes, and by a plain loop with Keras's own call."""

from functools import partial
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image as PilImage

from maskbeam.pipeline.job import job as job_module
from maskbeam.pipeline.main import main
from maskbeam.transforms.elements import Array
from maskbeam.transforms.tiling.layout import Tiling
from tests.support.models import quarter, save, unet
from tests.support.pictures import scene
from tests.support.tiling import plain_scores
from tests.support.trees import differing, tree_of

WINDOW = 32
SIZES = ((75, 61), (32, 49), (20, 41))
MODELS = {
    "fixed": partial(unet, keras, size=WINDOW),
    "free": partial(unet, keras, size=None),
    "quarter": partial(quarter, keras, size=WINDOW),
    "free-quarter": partial(quarter, keras, size=None),
}
# What no two ways to compute the same scores may differ by: the largest are about 10.
CLOSE = 1e-3


class KerasScores:
    """A Keras model by its own call, with scores brought to the window's size by TensorFlow's resize."""

    def __init__(self, model: keras.Model) -> None:
        self.channels = 3
        self._model = model

    def scores(self, plane: Array) -> Array:
        scores = self._model(plane[np.newaxis].astype(np.float32) / 255, training=False)
        whole: Array = tf.image.resize(scores, plane.shape[:2], method="bilinear").numpy()[0]
        return whole


def images(folder: Path) -> Path:
    folder.mkdir()
    for seed, size in enumerate(SIZES):
        PilImage.fromarray(scene(*size, seed=seed)).save(folder / f"{seed}.png")
    return folder


def labelled(inputs: Path, model: Path, out: Path, *flags: str) -> dict[str, bytes]:
    argv = ["run", "--input", str(inputs), "--model", str(model), "--output", str(out), "--normalize", "0..1"]
    assert main([*argv, "--resize", "tile", "--products", "confidence", *flags]) == 0
    files: dict[str, bytes] = tree_of(out)
    return {name: data for name, data in files.items() if name.startswith(("masks/", "confidence/"))}


@pytest.mark.parametrize("engine", ["tensorflow", "openvino"])
@pytest.mark.parametrize("name", list(MODELS))
def test_blocks_are_the_whole_and_both_are_a_plain_loop(
    tmp_path: Path, name: str, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    keras_model = MODELS[name]()
    inputs, model = images(tmp_path / "in"), save(keras_model, tmp_path / "m.keras")
    size = ("--tile_size", str(WINDOW)) if name.startswith("free") else ()
    found = []
    for blocks, sums in ((10**9, 10**9), (900, 1)):
        monkeypatch.setattr(job_module, "Tiling", partial(Tiling, block_pixels=blocks, sums_bytes=sums))
        found.append(labelled(inputs, model, tmp_path / f"out{blocks}", "--engine", engine, *size))
    assert differing(*found) == []
    # Of coarse scores of an image that is smaller than a window, what its reflection gives takes no part.
    for seed, shape in enumerate(SIZES[:2] if "quarter" in name else SIZES):
        scores = plain_scores(scene(*shape, seed=seed), KerasScores(keras_model), WINDOW, WINDOW * 3 // 4, "hann")
        with PilImage.open(tmp_path / "out900" / "masks" / f"{seed}.png") as opened:
            chosen = np.take_along_axis(scores, np.asarray(opened, np.int64)[..., np.newaxis], axis=-1)[..., 0]
        assert (scores.max(axis=-1) - chosen).max() < CLOSE
        assert seed > 0 or len(np.unique(scores.argmax(axis=-1))) > 1
