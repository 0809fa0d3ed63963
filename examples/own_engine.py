"""Segments a folder of images with an engine of one's own, by the transforms alone: no Keras, no TensorFlow.

    python examples/own_engine.py photos masks

Each pixel becomes the class whose colour is the strongest there: 0 red, 1 green, 2 blue.
"""

import sys
from pathlib import Path

import apache_beam as beam
import numpy as np

from maskbeam.transforms.argmax import Argmax, Labeling
from maskbeam.transforms.codecs.decode import Decode
from maskbeam.transforms.codecs.encode import encode_mask
from maskbeam.transforms.elements import Array, EncodedImage, Failure, Labels, Origin, Source
from maskbeam.transforms.measures.counted import Sums
from maskbeam.transforms.measures.pixels import PIXELS
from maskbeam.transforms.measures.statistics import Statistics
from maskbeam.transforms.predict import Predict, Scores
from maskbeam.transforms.resampling.prepare import InputSpec, Prepare

IDS = (0, 1, 2)


class Strongest:
    """An engine: planes `[N, h, w, C]` of 0..255 in, scores out. Any library can stand behind it."""

    batch_size = 8

    def __call__(self, planes: Array) -> Scores:
        """Gives the colours themselves as logits, and how sure each pixel is: all channels equal is not at all."""
        logits = planes.astype(np.float32)
        share = logits.max(-1) / np.maximum(logits.sum(-1), 1)
        confidence = np.rint(share * 65535).astype(np.int64).sum((1, 2))
        return Scores(logits, confidence, nonfinite=np.zeros(len(planes), np.int64))


def read(path: str) -> EncodedImage:
    """An image by its path; its version says which content was read."""
    return EncodedImage(
        Origin(Path(path).stem, Source(path, str(Path(path).stat().st_mtime_ns))), Path(path).read_bytes()
    )


def write(labels: Labels, folder: Path) -> None:
    """Writes a mask: the pixel is the class id."""
    (folder / f"{labels.image_id}.png").write_bytes(encode_mask(labels.pixels))


def tell(sums: Sums) -> None:
    """Prints how much of each class there is, over all images."""
    for class_id in IDS:
        print(f"class {class_id}: {sums[PIXELS].pixels.get(class_id, 0)} pixels")


def complain(failure: Failure) -> None:
    """Names an image that could not be done; the others do not suffer."""
    print(f"{failure.source.where}: {failure.code}: {failure.reason}", file=sys.stderr)


def main(images: str, masks: str) -> None:
    """Segments the images of a folder into another one."""
    folder = Path(masks)
    folder.mkdir(parents=True, exist_ok=True)
    paths = sorted(str(path) for path in Path(images).iterdir() if path.is_file())
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        encoded = pipeline | "Name" >> beam.Create(paths) | "Read" >> beam.Map(read).with_output_types(EncodedImage)
        decoded = encoded | Decode()
        prepared = decoded.main | Prepare(InputSpec(None, None, 3, "native"))
        predicted = prepared.main | Predict(Strongest)
        labels = predicted.main | Argmax(Labeling("logits", channel_ids=IDS))
        labels.main | "Write" >> beam.Map(write, folder)
        labels.main | Statistics(ids=IDS) | "Tell" >> beam.Map(tell)
        failed = (step.failed for step in (decoded, prepared, predicted, labels))
        tuple(failed) | beam.Flatten() | "Complain" >> beam.Map(complain)


if __name__ == "__main__":
    main(*sys.argv[1:])
