"""The script that most people would write: tf.data, `predict`, and coloured PNGs saved as Pillow does by default.

python -m benchmarks.peer_tf_data_plain SHARDS MODEL OUTPUT
"""

import sys
from glob import glob
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow

from maskbeam.pipeline.models.loading.tensorflow_start import start_tensorflow

tf = start_tensorflow()

import keras  # noqa: E402

COLORS = np.random.default_rng(0).integers(0, 256, (256, 3), np.uint8)


def main(shards: str, model_path: str, output: Path) -> None:
    model = keras.models.load_model(model_path)
    (output / "masks").mkdir()
    keys = {
        "image/encoded": tf.io.FixedLenFeature([], tf.string),
        "image/filename": tf.io.FixedLenFeature([], tf.string),
    }

    def load(record: Any) -> Any:
        example = tf.io.parse_single_example(record, keys)
        image = tf.io.decode_jpeg(example["image/encoded"], channels=3)
        return tf.image.resize(image, model.input_shape[1:3]) / 255, tf.shape(image)[:2], example["image/filename"]

    for planes, sizes, names in tf.data.TFRecordDataset(sorted(glob(shards))).map(load).batch(16):
        for logits, (height, width), name in zip(model.predict(planes, verbose=0), sizes, names, strict=True):
            labels = tf.argmax(tf.image.resize(logits, (height, width)), axis=-1).numpy()
            Pillow.fromarray(COLORS[labels]).save(output / "masks" / f"{Path(name.numpy().decode()).stem}.png")
    (output / "summary.json").write_text("{}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
