"""The pixel of a mask is the class's id in every reader that people train and evaluate with."""

from collections.abc import Callable
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest
import rasterio
import tensorflow as tf
from PIL import Image
from rasterio.errors import NotGeoreferencedWarning

from maskbeam.transforms.codecs.encode import encode_mask
from maskbeam.transforms.elements import Array

Reader = Callable[[Path], Array]


def by_tensorflow(path: Path) -> Array:
    return np.asarray(tf.io.decode_png(path.read_bytes(), channels=1)[..., 0])


def by_tensorflow_16(path: Path) -> Array:
    return np.asarray(tf.io.decode_png(path.read_bytes(), channels=1, dtype=tf.uint16)[..., 0])


def by_keras(path: Path) -> Array:
    return np.asarray(keras.utils.load_img(path, color_mode="grayscale"))


def by_opencv(path: Path) -> Array:
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED))


def by_opencv_grey(path: Path) -> Array:
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE))


def by_pillow(path: Path) -> Array:
    return np.asarray(Image.open(path))


def by_rasterio(path: Path) -> Array:
    with pytest.warns(NotGeoreferencedWarning), rasterio.open(path) as file:
        return np.asarray(file.read(1))


@pytest.mark.parametrize("read", [by_tensorflow, by_keras, by_opencv, by_opencv_grey, by_pillow, by_rasterio])
def test_8_bit_masks(read: Reader, tmp_path: Path) -> None:
    labels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    (tmp_path / "mask.png").write_bytes(encode_mask(labels, text={"maskbeam": "{}"}))
    np.testing.assert_array_equal(read(tmp_path / "mask.png"), labels)


@pytest.mark.parametrize("read", [by_tensorflow_16, by_opencv, by_pillow, by_rasterio])
def test_16_bit_masks(read: Reader, tmp_path: Path) -> None:
    labels = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    (tmp_path / "mask.png").write_bytes(encode_mask(labels, text={"maskbeam": "{}"}))
    np.testing.assert_array_equal(read(tmp_path / "mask.png"), labels)
