"""The careful script: tf.data decodes and resizes in parallel, Keras predicts on batches, threads write PNGs.

    python -m benchmarks.peer_tf_data SHARDS MODEL OUTPUT

The argmax is part of the model, so that a byte a pixel leaves TensorFlow; at most 64 masks wait to be written.
"""

import sys
from concurrent.futures import Future, ThreadPoolExecutor
from glob import glob
from pathlib import Path
from threading import Semaphore
from typing import Any

from benchmarks.peer_work import Row, write_mask, write_report
from maskbeam.pipeline.models.loading.tensorflow_start import start_tensorflow

tf = start_tensorflow()

import keras  # noqa: E402

BATCH = 32
WRITERS = 4
WAITING = 64


def main(shards: str, model_path: str, output: Path) -> None:
    model = keras.models.load_model(model_path, compile=False)
    size, classes = model.input_shape[1:3], model.output_shape[-1]
    labels = keras.ops.cast(keras.ops.argmax(model.output, axis=-1), "uint8")
    labeler = keras.Model(model.input, labels)
    (output / "masks").mkdir()
    write_report(output, label_and_write(dataset(shards, size), labeler, output / "masks", classes))


def dataset(shards: str, size: tuple[int, int]) -> Any:
    keys = {
        "image/encoded": tf.io.FixedLenFeature([], tf.string),
        "image/filename": tf.io.FixedLenFeature([], tf.string),
    }

    def load(record: Any) -> Any:
        example = tf.io.parse_single_example(record, keys)
        image = tf.io.decode_jpeg(example["image/encoded"], channels=3)
        return tf.image.resize(image, size) / 255, tf.shape(image)[:2], example["image/filename"]

    files = tf.data.TFRecordDataset(sorted(glob(shards)), num_parallel_reads=tf.data.AUTOTUNE)
    images = files.map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=False)
    return images.batch(BATCH).prefetch(tf.data.AUTOTUNE)


def label_and_write(batches: Any, labeler: Any, folder: Path, classes: int) -> list[Row]:
    room = Semaphore(WAITING)
    pending: list[Future[Row]] = []
    with ThreadPoolExecutor(WRITERS) as writers:
        for planes, sizes, names in batches:
            labels = labeler.predict_on_batch(planes)
            for name, label, (height, width) in zip(names.numpy(), labels, sizes.numpy(), strict=True):
                room.acquire()
                stem = Path(name.decode()).stem
                future = writers.submit(write_mask, folder, stem, label, int(height), int(width), classes)
                future.add_done_callback(lambda _: room.release())
                pending.append(future)
    return [future.result() for future in pending]


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
