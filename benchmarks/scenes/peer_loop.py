"""The loop that most people would write: windows side by side without overlap, batches of 16, Keras's own call.

python -m benchmarks.scenes.peer_loop SCENE MODEL OUTPUT
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.windows import Window

from benchmarks.scenes.cost import Clock, tell
from benchmarks.scenes.inputs import MASK, on_scale, writing
from maskbeam.pipeline.models.loading.tensorflow_start import start_tensorflow
from maskbeam.transforms.elements import Array

start_tensorflow()

import keras  # noqa: E402

BATCH = 16


def main(scene: str, model_path: str, output: Path) -> None:
    model = keras.models.load_model(model_path, compile=False)
    # The first call compiles.
    model.predict_on_batch(np.zeros((BATCH, *model.input_shape[1:]), np.float32))
    output.mkdir(parents=True)
    start = Clock()
    with rasterio.open(scene) as file, writing(output / MASK, file) as mask:
        segment(file, mask, model)
    tell(job=Clock().since(start))


def segment(file: Any, mask: Any, model: Any) -> None:
    """Reads an open raster window by window, and writes the labels of each."""
    side = model.input_shape[1]
    places = [(top, left) for top in range(0, file.height, side) for left in range(0, file.width, side)]
    for first in range(0, len(places), BATCH):
        windows = [_window(file, top, left, side) for top, left in places[first : first + BATCH]]
        planes = [_filled(on_scale(file.read(window=window)), side) for window in windows]
        scores = model.predict_on_batch(np.stack(planes))
        for window, labels in zip(windows, scores.argmax(axis=-1).astype(np.uint8), strict=True):
            mask.write(labels[: window.height, : window.width], 1, window=window)


def _window(file: Any, top: int, left: int, side: int) -> Window:
    return Window(left, top, min(side, file.width - left), min(side, file.height - top))


def _filled(plane: Array, side: int) -> Array:
    return np.pad(plane, ((0, side - plane.shape[0]), (0, side - plane.shape[1]), (0, 0)))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
