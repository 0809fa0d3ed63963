"""Beam's own way: RunInference with its TensorFlow handler and its own batching, as its documentation says.

    python -m benchmarks.peer_run_inference SHARDS MODEL OUTPUT

Runs on the same local runner as maskbeam: the one that `DirectRunner` stands for.
"""

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import packaging.version

from benchmarks.peer_work import Row, write_mask, write_report
from maskbeam.pipeline.models.loading.tensorflow_start import start_tensorflow

tf = start_tensorflow()

# Beam's handler imports TensorFlow Hub, which is not used here, and that a module which setuptools has no longer.
if find_spec("pkg_resources") is None:
    sys.modules["pkg_resources"] = packaging.version
    packaging.version.parse_version = packaging.version.parse  # type: ignore[attr-defined]

import apache_beam as beam  # noqa: E402
from apache_beam.ml.inference.base import KeyedModelHandler, RunInference  # noqa: E402
from apache_beam.ml.inference.tensorflow_inference import TFModelHandlerTensor  # noqa: E402
from apache_beam.options.pipeline_options import PipelineOptions  # noqa: E402
from apache_beam.transforms import combiners  # noqa: E402

from maskbeam.pipeline.runners.local import LOCAL  # noqa: E402

SIZE, CLASSES = (128, 128), 3
# Beam chooses a size up to this one by itself; 16, 32 and 128 were slower.
LARGEST_BATCH = 64
Key = tuple[str, int, int]


def main(shards: str, model: str, output: Path) -> None:
    (output / "masks").mkdir()
    handler = TFModelHandlerTensor(model, max_batch_size=LARGEST_BATCH, load_model_args={"compile": False})
    with beam.Pipeline(options=PipelineOptions(runner=LOCAL.beam_class)) as root:
        _ = (
            root
            | beam.io.ReadFromTFRecord(shards)
            | "Decode" >> beam.Map(decode)
            | "Predict" >> RunInference(KeyedModelHandler(handler))
            | "Write" >> beam.Map(write, output / "masks")
            | combiners.ToList()
            | "Report" >> beam.Map(lambda rows: write_report(output, rows))
        )


def decode(record: bytes) -> tuple[Key, Any]:
    features = tf.train.Example.FromString(record).features.feature
    image = tf.io.decode_jpeg(features["image/encoded"].bytes_list.value[0], channels=3)
    name = Path(features["image/filename"].bytes_list.value[0].decode()).stem
    return (name, *image.shape[:2]), tf.image.resize(image, SIZE) / 255


def write(predicted: Any, folder: Path) -> Row:
    (name, height, width), result = predicted
    labels = tf.argmax(result.inference, axis=-1, output_type=tf.int32).numpy().astype(np.uint8)
    return write_mask(folder, name, labels, height, width, CLASSES)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
