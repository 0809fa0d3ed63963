"""Trains the sample model: `python -m maskbeam.pipeline.commands.demo.train_sample`, about ten minutes on two cores.

A small U-Net that takes images of any size (its maps shrink to a sixteenth and grow back), with its scaling inside,
so that it is fed plain 0..255. It learns from random crops of drawn scenes, turned and mirrored, and is measured
on scenes that it never saw, at full size. Seeds are fixed; Keras repeats a training exactly on one kind of machine.
"""

import argparse
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from PIL import Image as Pillow

from maskbeam.pipeline.commands.demo.sample_input import SAMPLE_MODEL
from maskbeam.pipeline.commands.demo.scene_plan import Array
from maskbeam.pipeline.commands.demo.scenes import CLASSES, draw_scene
from maskbeam.transforms.comparison.scores import ious

_TRAINING_SEEDS = range(1_000_000, 1_000_400)
_HELD_OUT_SEEDS = range(2_000_000, 2_000_040)
_CROP = 128
_BATCH = 16


def build_unet(classes: int) -> keras.Model:
    """A U-Net from `[N, H, W, 3]` of 0..255 to logits `[N, H, W, classes]`; H and W are free multiples of 16."""
    image = layers.Input((None, None, 3), name="image")
    scaled = layers.Rescaling(1 / 127.5, offset=-1, name="scale")(image)
    skips = [_activated(layers.Conv2D(12, 3, padding="same", use_bias=False)(scaled))]
    for width in (24, 40, 64, 96):
        small = _activated(layers.Conv2D(width, 3, strides=2, padding="same", use_bias=False)(skips[-1]))
        skips.append(_separable(_separable(small, width), width) if width > 24 else small)
    grown = skips.pop()
    for width in (64, 40, 24, 16):
        grown = layers.UpSampling2D(2)(layers.Conv2D(width, 1, use_bias=False)(grown))
        grown = layers.Concatenate()([grown, skips.pop()])
        if width > 16:
            grown = _separable(_separable(grown, width), width)
    grown = _activated(layers.Conv2D(16, 3, padding="same", use_bias=False)(grown))
    return keras.Model(image, layers.Conv2D(classes, 3, padding="same", name="logits")(grown), name="unet")


def _separable(x: keras.KerasTensor, width: int) -> keras.KerasTensor:
    return _activated(layers.SeparableConv2D(width, 3, padding="same", use_bias=False)(x))


def _activated(x: keras.KerasTensor) -> keras.KerasTensor:
    return layers.ReLU()(layers.BatchNormalization(momentum=0.95)(x))


def crops(seed: int, scenes: Sequence[tuple[Array, Array]]) -> Iterator[tuple[Array, Array]]:
    """Endless random crops of scenes, turned and mirrored: uint8 `[128, 128, 3]` with labels `[128, 128]`."""
    rng = np.random.default_rng(seed)
    while True:
        rgb, labels = scenes[int(rng.integers(len(scenes)))]
        top, left = (rng.integers(size - _CROP + 1) for size in labels.shape)
        window = np.s_[top : top + _CROP, left : left + _CROP]
        turns, mirror = int(rng.integers(4)), slice(None, None, int(rng.choice((-1, 1))))
        yield np.rot90(rgb[window], turns)[:, mirror], np.rot90(labels[window], turns)[:, mirror]


def train(steps: int, seed: int = 0) -> keras.Model:
    """Trains a model for a number of batches of 16 crops."""
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    scenes = [_compressed(number, 256, 256) for number in _TRAINING_SEEDS]
    shapes = tf.TensorSpec((_CROP, _CROP, 3), tf.uint8), tf.TensorSpec((_CROP, _CROP), tf.uint8)
    data = tf.data.Dataset.from_generator(lambda: crops(seed, scenes), output_signature=shapes)
    model = build_unet(len(CLASSES))
    rate = keras.optimizers.schedules.CosineDecay(0.0, steps, warmup_target=4e-3, warmup_steps=steps // 20)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.AdamW(rate, weight_decay=1e-3), loss, metrics=["accuracy"])
    epochs = 20
    model.fit(data.batch(_BATCH).prefetch(4), epochs=epochs, steps_per_epoch=steps // epochs, verbose=2)
    return model


def measure(model: keras.Model) -> Array:
    """IoU `[C]` of each class over scenes that no training saw."""
    scenes = (_compressed(seed, 256, 384) for seed in _HELD_OUT_SEEDS)
    pairs = ((truth, model.predict_on_batch(rgb[None])[0].argmax(axis=-1)) for rgb, truth in scenes)
    return ious(pairs, len(CLASSES))


def _compressed(seed: int, height: int, width: int) -> tuple[Array, Array]:
    """A scene as it comes back from a JPEG file."""
    rgb, labels = draw_scene(seed, height, width)
    file = io.BytesIO()
    Pillow.fromarray(rgb).save(file, "JPEG", quality=88 + seed % 10)
    return np.asarray(Pillow.open(file)), labels


def main() -> None:
    """Trains, measures, saves without the optimizer's state, and prints what was reached."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1500, help="batches of 16 crops (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=SAMPLE_MODEL, help="file to write (default: %(default)s)")
    args = parser.parse_args()
    model = train(args.steps)
    per_class = measure(model)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    keras.Model(model.inputs, model.outputs, name=model.name).save(args.output)
    lines = [f"{name:10} {value:.3f}" for name, value in zip(CLASSES, per_class, strict=True)]
    print("\n".join(("IoU on scenes never seen:", *lines, f"{'mean':10} {per_class.mean():.3f}")))  # noqa: T201
    print(f"{model.count_params():,} weights, {args.output.stat().st_size / 1e6:.2f} MB: {args.output}")  # noqa: T201


if __name__ == "__main__":
    main()
