"""MONAI's sliding window with the same Keras model as its predictor, and rasterio around it.

make build/monai/.installed
build/monai/bin/python -m benchmarks.scenes.peer_monai SCENE MODEL OUTPUT
"""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

from benchmarks.scenes.cost import Clock, tell
from benchmarks.scenes.inputs import MASK, on_scale, writing
from maskbeam.pipeline.models.loading.tensorflow_start import start_tensorflow

start_tensorflow()

import keras  # noqa: E402

# What our engine takes at once, too.
BATCH = 16


def main(scene: str, model_path: str, output: Path) -> None:
    # Types of these are not to be had where they are not installed.
    torch, inferers = import_module("torch"), import_module("monai.inferers")
    model = keras.models.load_model(model_path, compile=False)
    side, channels = model.input_shape[1], model.input_shape[3]

    def predictor(planes: Any) -> Any:
        scores = model.predict_on_batch(planes.permute(0, 2, 3, 1).numpy())
        return torch.from_numpy(np.asarray(scores)).permute(0, 3, 1, 2)

    predictor(torch.zeros((BATCH, channels, side, side)))
    output.mkdir(parents=True)
    start = Clock()
    with rasterio.open(scene) as file:
        image = torch.from_numpy(on_scale(file.read())).permute(2, 0, 1)[None]
        scores = inferers.sliding_window_inference(
            image, (side, side), BATCH, predictor, overlap=0.25, mode="gaussian"
        )
        with writing(output / MASK, file) as mask:
            mask.write(scores.argmax(dim=1)[0].numpy().astype(np.uint8), 1)
    tell(job=Clock().since(start))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
