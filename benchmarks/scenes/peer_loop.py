"""The loop that most people would write: windows side by side without overlap, batches of 16, Keras's own call.

python -m benchmarks.scenes.peer_loop PICTURE MODEL OUTPUT
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from benchmarks.scenes.cost import Clock, tell
from benchmarks.scenes.pictures import read
from maskbeam.pipeline.models.loading.tensorflow_start import start_tensorflow

start_tensorflow()

import keras  # noqa: E402

BATCH = 16


def main(picture: str, model_path: str, output: Path) -> None:
    model, pixels = keras.models.load_model(model_path, compile=False), read(Path(picture))
    side = model.input_shape[1]
    places = [(top, left) for top in range(0, len(pixels), side) for left in range(0, len(pixels[0]), side)]
    labels = np.empty(pixels.shape[:2], np.uint8)
    # The first call compiles.
    model.predict_on_batch(np.zeros((BATCH, side, side, 3), np.float32))
    start = Clock()
    for first in range(0, len(places), BATCH):
        some = places[first : first + BATCH]
        windows = np.stack([pixels[top : top + side, left : left + side] for top, left in some])
        scores = model.predict_on_batch(windows.astype(np.float32) / 255)
        for (top, left), window in zip(some, scores.argmax(axis=-1), strict=True):
            labels[top : top + side, left : left + side] = window
    output.mkdir(parents=True)
    Pillow.fromarray(labels).save(output / "mask.png")
    tell(job=Clock().since(start))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
