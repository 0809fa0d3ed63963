"""MONAI's sliding window with the same Keras model as its predictor; only where monai is installed.

pip install monai
python -m benchmarks.scenes.peer_monai PICTURE MODEL OUTPUT
"""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow

from benchmarks.scenes.cost import Clock, tell
from benchmarks.scenes.pictures import read
from maskbeam.pipeline.models.loading.tensorflow_start import start_tensorflow

start_tensorflow()

import keras  # noqa: E402

# What our engine takes at once, too.
BATCH = 16


def main(picture: str, model_path: str, output: Path) -> None:
    # Types of these are not to be had where they are not installed.
    torch, inferers = import_module("torch"), import_module("monai.inferers")
    model, pixels = keras.models.load_model(model_path, compile=False), read(Path(picture))
    side = model.input_shape[1]

    def predictor(planes: Any) -> Any:
        scores = model.predict_on_batch(planes.permute(0, 2, 3, 1).numpy())
        return torch.from_numpy(np.asarray(scores)).permute(0, 3, 1, 2)

    predictor(torch.zeros((BATCH, 3, side, side)))
    start = Clock()
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
    scores = inferers.sliding_window_inference(image, (side, side), BATCH, predictor, overlap=0.25, mode="gaussian")
    labels = scores.argmax(dim=1)[0].numpy().astype(np.uint8)
    output.mkdir(parents=True)
    Pillow.fromarray(labels).save(output / "mask.png")
    tell(job=Clock().since(start))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
