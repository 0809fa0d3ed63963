"""The model of TensorFlow's segmentation tutorial: a MobileNetV2 U-Net, built and trained here without downloads."""

from collections.abc import Iterator

import numpy as np

from maskbeam.pipeline.commands.demo.scenes import draw_scene
from maskbeam.pipeline.models.loading.tensorflow_start import start_tensorflow
from maskbeam.transforms.elements import Array

start_tensorflow()

import keras  # noqa: E402 - after TensorFlow's banner was kept off the terminal
from keras import layers  # noqa: E402

_SKIPS = ("block_1_expand_relu", "block_3_expand_relu", "block_6_expand_relu", "block_13_expand_relu")
_STEPS, _BATCH = 40, 8


def build_unet(size: int, classes: int, *, channels: int = 3) -> keras.Model:
    """Takes `[N, size, size, channels]` of 0..1 and gives logits `[N, size, size, classes]`; weights are random."""
    keras.utils.set_random_seed(0)
    base = keras.applications.MobileNetV2(input_shape=(size, size, channels), include_top=False, weights=None)
    *skips, x = (base.get_layer(name).output for name in (*_SKIPS, "block_16_project"))
    for filters, skip in zip((512, 256, 128, 64), reversed(skips), strict=True):
        x = layers.Conv2DTranspose(filters, 3, strides=2, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
        x = layers.Concatenate()([x, skip])
    logits = layers.Conv2DTranspose(classes, 3, strides=2, padding="same", name="logits")(x)
    return keras.Model(base.input, logits, name="unet")


def train_unet() -> keras.Model:
    """The tutorial's model, trained for half a minute: enough for masks that look like masks."""
    model = build_unet(128, 3)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            # The default suits trainings a thousand times as long.
            layer.momentum = 0.8
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss)
    for planes, labels in _batches():
        model.train_on_batch(planes, labels)
    return model


def _batches() -> Iterator[tuple[Array, Array]]:
    rng = np.random.default_rng(0)
    scenes = [draw_scene(seed, 384, 512) for seed in range(6)]
    for _ in range(_STEPS):
        cuts = []
        for _ in range(_BATCH):
            rgb, labels = scenes[rng.integers(len(scenes))]
            top, left = rng.integers(384 - 255), rng.integers(512 - 255)
            window = np.s_[top : top + 256 : 2, left : left + 256 : 2]
            cuts.append((rgb[window], labels[window].clip(0, 2)))
        planes, truth = (np.stack(part) for part in zip(*cuts, strict=True))
        yield planes.astype(np.float32) / 255, truth


def enlarged(model: keras.Model, size: int, classes: int, *, channels: int = 3) -> keras.Model:
    """The same model for larger inputs and more channels; its classes are mixed into more, so that all appear."""
    larger = build_unet(size, classes, channels=channels)
    for source, target in zip(model.layers[:-1], larger.layers[:-1], strict=True):
        target.set_weights(
            [_fitted(each, to.shape) for each, to in zip(source.get_weights(), target.weights, strict=True)]
        )
    kernel, bias = model.layers[-1].get_weights()
    mixed = np.random.default_rng(0).normal(size=(classes, kernel.shape[2])).astype(np.float32)
    mixed /= np.linalg.norm(mixed, axis=1, keepdims=True)
    centred = bias - bias.mean()
    larger.layers[-1].set_weights([np.einsum("hwki,ck->hwci", kernel, mixed), mixed @ centred])
    return larger


def _fitted(weights: Array, shape: tuple[int, ...]) -> Array:
    """Weights as they are; of the first convolution, those of its channels spread over more of them."""
    if weights.shape == shape:
        return weights
    more = np.repeat(weights.mean(axis=2, keepdims=True), shape[2] - weights.shape[2], axis=2)
    return np.concatenate([weights, more], axis=2) * np.float32(weights.shape[2] / shape[2])
