"""Small models for tests: untrained, seeded, each in a second or less.

Every builder takes the Keras to build with, `keras` (3) or `tf_keras` (2), whose interfaces agree on all of this.
"""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

HEADS = (
    "logits",
    "softmax",
    "sigmoid",
    "sigmoid_logits",
    "multilabel",
    "ids",
    "flat",
    "channels_first",
    "no_channel",
)


def unet(
    K: Any,
    *,
    size: int | None = 32,
    channels: int = 3,
    classes: int = 3,
    head: str = "logits",
    prepare: Callable[[Any], Any] | None = None,
    seed: int = 0,
) -> Any:
    """A Functional U-Net of two levels, `[N, size, size, channels]` to what `head` says of `classes` classes."""
    K.utils.set_random_seed(seed)
    image = K.layers.Input(
        (channels, size, size) if head == "channels_first" else (size, size, channels), name="image"
    )
    x = K.layers.Permute((2, 3, 1))(image) if head == "channels_first" else image
    x = prepare(x) if prepare else x
    fine = K.layers.Conv2D(6, 3, padding="same", activation="relu", name="fine")(x)
    coarse = K.layers.Conv2D(8, 3, strides=2, padding="same", activation="relu", name="coarse")(fine)
    up = K.layers.Conv2DTranspose(6, 3, strides=2, padding="same", activation="relu", name="up")(coarse)
    x = K.layers.Concatenate(name="skip")([up, fine])
    return K.Model(image, _head(K, x, head, classes, size), name="unet")


def _head(K: Any, x: Any, head: str, classes: int, size: int | None) -> Any:
    count = 1 if head in ("sigmoid", "sigmoid_logits", "no_channel") else classes
    activation = {"softmax": "softmax", "sigmoid": "sigmoid", "multilabel": "sigmoid", "no_channel": "sigmoid"}.get(
        head
    )
    x = K.layers.Conv2D(count, 1, activation=activation, name="classes", kernel_initializer=_spread(K))(x)
    if head == "flat":
        return K.layers.Reshape(((size or 0) * (size or 0), classes), name="flat")(x)
    if head == "channels_first":
        return K.layers.Permute((3, 1, 2), name="first")(x)
    if head == "no_channel":
        return K.layers.Reshape((size, size), name="plane")(x)
    return _argmax(K, x) if head == "ids" else x


def quarter(K: Any, *, size: int | None = 32, classes: int = 3, seed: int = 0) -> Any:
    """Logits at a quarter of the input's height and width."""
    K.utils.set_random_seed(seed)
    image = x = K.layers.Input((size, size, 3), name="image")
    for filters in (6, 8):
        x = K.layers.Conv2D(filters, 3, strides=2, padding="same", activation="relu")(x)
    x = K.layers.Conv2D(classes, 1, kernel_initializer=_spread(K), name="classes")(x)
    return K.Model(image, x, name="quarter")


def _spread(K: Any) -> Any:
    """Weights large enough that an untrained model predicts more than one class."""
    return K.initializers.RandomNormal(stddev=2.0, seed=1)


def _argmax(K: Any, x: Any) -> Any:
    if K.__name__ == "keras":
        return K.ops.argmax(x, axis=-1)
    import tensorflow as tf

    return tf.argmax(x, axis=-1)


def sequential(K: Any, *, size: int = 32, classes: int = 3, seed: int = 0) -> Any:
    """A Sequential model that scales its input by itself and ends in a softmax."""
    K.utils.set_random_seed(seed)
    return K.Sequential(
        [
            K.layers.Input((size, size, 3)),
            K.layers.Rescaling(1 / 255),
            K.layers.Conv2D(6, 3, padding="same", activation="relu"),
            K.layers.Conv2D(classes, 1, kernel_initializer=_spread(K)),
            K.layers.Softmax(),
        ],
        name="sequential",
    )


def two_outputs(K: Any, *, size: int = 32, classes: int = 3, seed: int = 0) -> Any:
    """Logits of two resolutions, `coarse_map` and `fine_map`, as a dictionary."""
    K.utils.set_random_seed(seed)
    image = K.layers.Input((size, size, 3), name="image")
    fine = K.layers.Conv2D(classes, 3, padding="same", name="a")(image)
    coarse = K.layers.Conv2D(classes, 3, strides=2, padding="same", activation="softmax", name="b")(image)
    return K.Model(image, {"fine_map": fine, "coarse_map": coarse}, name="two_outputs")


def normalized(K: Any, *, size: int = 32, classes: int = 3, seed: int = 0) -> Any:
    """Logits behind a convolution whose outputs are normalised, which a CPU computes in one step."""
    K.utils.set_random_seed(seed)
    image = K.layers.Input((size, size, 3), name="image")
    x = K.layers.Conv2D(8, 3, padding="same", use_bias=False)(image)
    x = K.layers.ReLU()(K.layers.BatchNormalization()(x))
    x = K.layers.Conv2D(classes, 1, kernel_initializer=_spread(K), name="classes")(x)
    return K.Model(image, x, name="normalized")


def tutorial_unet(K: Any, *, size: int = 32, classes: int = 3, prepare: Callable[[Any], Any] | None = None) -> Any:
    """The U-Net of TensorFlow's segmentation tutorial, on a MobileNetV2 of a third of the width.

    A nested Functional encoder with five outputs, and pix2pix's up-sampling blocks as nested Sequential models.
    """
    K.utils.set_random_seed(0)
    base = K.applications.MobileNetV2(input_shape=(size, size, 3), alpha=0.35, include_top=False, weights=None)
    expanded = [f"block_{index}_expand_relu" for index in (1, 3, 6, 13)]
    taps = [base.get_layer(name).output for name in [*expanded, "block_16_project"]]
    encoder = K.Model(inputs=base.input, outputs=taps, name="encoder")
    encoder.trainable = False
    image = K.layers.Input((size, size, 3), name="image")
    *skips, x = encoder(prepare(image) if prepare else image)
    for filters, skip in zip((32, 24, 16, 8), reversed(skips), strict=True):
        x = K.layers.Concatenate()([_upsample(K, filters)(x), skip])
    x = K.layers.Conv2DTranspose(classes, 3, strides=2, padding="same", kernel_initializer=_spread(K), name="logits")(
        x
    )
    return K.Model(inputs=image, outputs=x, name="tutorial_unet")


def _upsample(K: Any, filters: int) -> Any:
    block = K.Sequential()
    block.add(K.layers.Conv2DTranspose(filters, 3, strides=2, padding="same", use_bias=False))
    block.add(K.layers.BatchNormalization())
    block.add(K.layers.ReLU())
    return block


def tf_scaling(x: Any) -> Any:
    """Scaling to -1..1 written as TensorFlow operations, as people do in Keras 2."""
    import tensorflow as tf

    return tf.cast(x, tf.float32) / 127.5 - 1


def save(model: Any, path: Path) -> Path:
    """Saves a model as the extension of `path` says; without one as a SavedModel folder."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # That HDF5 is a legacy format.
        if path.suffix:
            model.save(path)
        elif type(model).__module__.startswith("tf_keras."):
            model.save(path, save_format="tf")
        else:
            model.export(path, verbose=False)
    return path
