"""The U-Net of TensorFlow's image segmentation tutorial gives here what the tutorial's own code gives."""

import io
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
import tf_keras

from maskbeam.pipeline.commands.demo.scenes import draw_scene
from maskbeam.pipeline.models.engines.tensorflow_engine import KerasEngine
from maskbeam.pipeline.models.loading.loaded_model import load, open_model
from maskbeam.pipeline.models.loading.tf_jpeg import decode_jpeg
from maskbeam.pipeline.models.probing.probe import Probe, probe_model
from maskbeam.pipeline.options import ModelOptions
from maskbeam.transforms.codecs.decode import decode
from maskbeam.transforms.elements import Array, Source
from maskbeam.transforms.resampling.prepare import prepare
from tests.support.elements import encoded_image
from tests.support.models import save, tutorial_unet

SIZE = 128
CLASSES = 5
SCENES = tuple(
    draw_scene(seed, *size)[0] for seed, size in enumerate(((360, 480), (300, 225), (128, 128), (100, 90)))
)
READERS = {"PNG": tf.io.decode_png, "JPEG": tf.io.decode_jpeg}
STEPS = 24


@cache
def files(kind: str) -> list[bytes]:
    """The scenes as files; JPEGs as cameras write them, their colours at half the resolution."""
    held = [io.BytesIO() for _ in SCENES]
    for file, scene in zip(held, SCENES, strict=True):
        PIL.Image.fromarray(scene).save(file, kind)
    return [file.getvalue() for file in held]


@cache
def trained() -> Any:
    """The tutorial's model after a little training, so that its labels are more than noise."""
    scenes = [draw_scene(seed, SIZE, SIZE) for seed in range(100, 116)]
    model = tutorial_unet(keras, size=SIZE, classes=CLASSES)
    for block in model.layers:
        for layer in getattr(block, "layers", []):
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = 0.8  # so few steps would leave its averages where they began
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    images = np.stack([image for image, _ in scenes]).astype(np.float32) / 255
    masks = np.stack([mask for _, mask in scenes])
    model.fit(images, masks, batch_size=4, epochs=STEPS * 4 // len(scenes), verbose=0)
    return model


@cache
def tutorial_labels(kind: str) -> Array:
    """What the tutorial's code does with the files, `[N, SIZE, SIZE]`."""
    images = [tf.image.resize(READERS[kind](file, channels=3), (SIZE, SIZE)) for file in files(kind)]
    batch = tf.stack([tf.cast(image, tf.float32) / 255.0 for image in images])
    return np.asarray(tf.argmax(trained().predict(batch, verbose=0), axis=-1))


def our_planes(kind: str, probe: Probe) -> Array:
    encoded = [encoded_image(str(i), Source("memory", str(i)), file) for i, file in enumerate(files(kind))]
    return np.stack([prepare(decode(image, jpeg_decoder=decode_jpeg), probe.spec).plane for image in encoded])


def rescaling(image: Any) -> Any:
    return keras.layers.Rescaling(1 / 255)(image)


def operations(image: Any) -> Any:
    return tf.cast(image, tf.float32) / 255.0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("K", "extension", "inside"),
    [
        (tf_keras, ".h5", None),
        (tf_keras, ".keras", operations),
        (keras, ".keras", None),
        (keras, ".keras", rescaling),
    ],
)
def test_labels_are_the_tutorials(
    K: Any, extension: str, inside: Callable[[Any], Any] | None, tmp_path: Path
) -> None:
    model = tutorial_unet(K, size=SIZE, classes=CLASSES, prepare=inside)
    model.set_weights(trained().get_weights())
    saved = save(model, tmp_path / f"unet{extension}")
    options = ModelOptions(path=str(saved), normalize=None if inside else "0..1")
    file = open_model(options)
    loaded = load(file, options)
    assert (loaded.framework == "keras") == (K is keras)
    probe = probe_model(loaded, options, digest=file.digest)
    assert (probe.head.kind, probe.head.classes) == ("logits", CLASSES)

    label, score = (KerasEngine(loaded, probe, end=end, batch_size=4) for end in ("labels", "logits"))
    for kind in READERS:
        expected, planes = tutorial_labels(kind), our_planes(kind, probe)
        assert len(np.unique(expected)) == CLASSES
        np.testing.assert_array_equal(label(planes).logits, expected)
        np.testing.assert_array_equal(score(planes).logits.argmax(axis=-1), expected)
