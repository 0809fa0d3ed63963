"""Whole runs through small Keras models of every kind, each against a plain script."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from maskbeam.pipeline.main import main
from maskbeam.transforms.elements import Array
from tests.support.custom_layers import Double
from tests.support.models import save, two_outputs, unet
from tests.support.plain_script import agreement, argmax_at, read_pixels, resized, scores_of
from tests.support.trees import pixels
from tests.support.trees import save as save_image

SIZES = {"a": (40, 48), "b/c": (32, 32), "d": (50, 37)}
SIZE = 32
CLASSES = "channel,id,name\n0,10,ten\n1,20,twenty\n2,30,thirty\n"


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for name, size in SIZES.items():
        save_image(folder / f"{name}.png", smooth(name, size))
    return folder


def smooth(seed: object, size: tuple[int, int]) -> Array:
    """Large blots of colour: labels that depend on more than noise."""
    return resized(pixels(seed, (5, 5)), *size).astype(np.uint8)


def run(folder: Path, images: Path, model: Any, *flags: str, name: str = "m.keras") -> tuple[Path, int]:
    path = model if isinstance(model, Path) else save(model, folder / name)
    argv = ["--input", str(images), "--model", str(path), "--output", str(folder / "out"), *flags]
    return folder / "out", main(["run", *argv])


def planes_of(images: Path, name: str, *, channels: int = 3) -> Array:
    image = read_pixels(images / f"{name}.png")
    assert image.shape[2] == channels
    return resized(image, SIZE, SIZE)[None] / np.float32(255)


def classes_file(folder: Path) -> str:
    (folder / "classes.csv").write_text(CLASSES)
    return str(folder / "classes.csv")


def exclusive(scores: Array, size: tuple[int, int]) -> Array:
    return argmax_at(scores, *size)


def at_half(scores: Array, size: tuple[int, int]) -> Array:
    return resized(scores, *size)[..., 0] > 0.5


def above_zero(scores: Array, size: tuple[int, int]) -> Array:
    return resized(scores, *size)[..., 0] > 0


def nearest(ids: Array, size: tuple[int, int]) -> Array:
    return resized(ids[..., None], *size, method="nearest")[..., 0]


READ: dict[str, tuple[Callable[[Array], Array], Callable[[Array, tuple[int, int]], Array]]] = {
    "logits": (lambda out: out, exclusive),
    "softmax": (lambda out: out, exclusive),
    "flat": (lambda out: out.reshape(-1, SIZE, SIZE, 3), exclusive),
    "channels_first": (lambda out: out.transpose(0, 2, 3, 1), exclusive),
    "sigmoid": (lambda out: out, at_half),
    "no_channel": (lambda out: out[..., None], at_half),
    "sigmoid_logits": (lambda out: out, above_zero),
    "ids": (lambda out: out, nearest),
}


@pytest.mark.parametrize("head", READ)
def test_labels_are_those_of_a_plain_script(head: str, tmp_path: Path, images: Path) -> None:
    model = unet(keras, head=head, seed=1)
    flags = ["--classes", classes_file(tmp_path)] if head == "ids" else []
    out, code = run(tmp_path, images, model, "--normalize", "0..1", *flags)
    assert code == 0
    read, decide = READ[head]
    for name, size in SIZES.items():
        planes = planes_of(images, name)
        scores = scores_of(model, planes.transpose(0, 3, 1, 2) if head == "channels_first" else planes)
        expected = decide(read(scores)[0], size).astype(int)
        mask = read_pixels(out / f"masks/{name}.png")
        assert len(np.unique(expected)) > 1
        assert agreement(mask, (expected + 1) * 10 if head == "ids" else expected) > 0.999


def test_independent_classes_have_binary_masks_only(tmp_path: Path, images: Path) -> None:
    model = unet(keras, head="multilabel")
    flags = ("--normalize", "0..1", "--head", "multilabel", "--classes", classes_file(tmp_path))
    out, code = run(tmp_path, images, model, *flags, "--products", "confidence")
    assert code == 0
    assert not (out / "masks").exists()
    for name, size in SIZES.items():
        scores = scores_of(model, planes_of(images, name))[0]
        for channel, folder in enumerate(("ten", "twenty", "thirty")):
            expected = (resized(scores, *size)[..., channel] > 0.5) * 255
            assert agreement(read_pixels(out / f"binary/{folder}/{name}.png"), expected) > 0.999


def test_independent_classes_give_a_mask_when_asked(
    tmp_path: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = unet(keras, head="multilabel")
    flags = ("--normalize", "0..1", "--head", "multilabel", "--products", "color")
    assert run(tmp_path, images, model, *flags)[1] == 2
    assert "--multilabel argmax" in capsys.readouterr().err
    out, code = run(tmp_path, images, model, *flags, "--multilabel", "argmax")
    assert code == 0
    for name, size in SIZES.items():
        expected = argmax_at(scores_of(model, planes_of(images, name))[0], *size)
        assert agreement(read_pixels(out / f"masks/{name}.png"), expected) > 0.999
        assert agreement(read_pixels(out / f"color/{name}.png"), expected) > 0.999


def test_masks_of_many_classes_have_16_bits(tmp_path: Path, images: Path) -> None:
    model = unet(keras, classes=300, seed=1)
    out, code = run(
        tmp_path, images, model, "--normalize", "0..1", "--products", "color,binary", "--binary_classes", "class_7"
    )
    assert code == 0
    seen = set()
    for name, size in SIZES.items():
        expected = argmax_at(scores_of(model, planes_of(images, name))[0], *size)
        mask = read_pixels(out / f"masks/{name}.png")
        assert mask.dtype == np.uint16
        assert agreement(mask, expected) > 0.999
        seen |= set(np.unique(mask))
    assert max(seen) > 255


def test_one_of_several_outputs_is_named(tmp_path: Path, images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = two_outputs(keras)
    assert run(tmp_path, images, model, "--normalize", "0..1")[1] == 2
    said = capsys.readouterr().err
    assert "--output_name" in said
    assert "coarse_map" in said
    assert "fine_map" in said
    out, code = run(tmp_path, images, model, "--normalize", "0..1", "--output_name", "coarse_map")
    assert code == 0
    scores = model(planes_of(images, "a"), training=False)["coarse_map"]
    assert scores.shape[1:3] == (16, 16)
    assert agreement(read_pixels(out / "masks/a.png"), argmax_at(np.asarray(scores)[0], *SIZES["a"])) > 0.999


def test_grey_models_and_grey_images(tmp_path: Path) -> None:
    model = unet(keras, channels=1)
    grey, colour = smooth("g", (40, 30))[..., 0], smooth("c", (32, 32))
    save_image(tmp_path / "in/grey.png", grey)
    save_image(tmp_path / "in/colour.png", colour)
    out, code = run(tmp_path, tmp_path / "in", model, "--normalize", "0..1")
    assert code == 0
    scores = scores_of(model, resized(grey[..., None], SIZE, SIZE)[None] / np.float32(255))
    assert agreement(read_pixels(out / "masks/grey.png"), argmax_at(scores[0], 40, 30)) > 0.999
    assert read_pixels(out / "masks/colour.png").shape == (32, 32)


@pytest.mark.parametrize("upsample", ["labels", "none"])
def test_labels_without_smoothing(upsample: str, tmp_path: Path, images: Path) -> None:
    model = unet(keras)
    out, code = run(tmp_path, images, model, "--normalize", "0..1", "--upsample", upsample)
    assert code == 0
    for name, size in SIZES.items():
        labels = scores_of(model, planes_of(images, name))[0].argmax(-1)
        expected = labels if upsample == "none" else nearest(labels, size)
        assert agreement(read_pixels(out / f"masks/{name}.png"), expected) > 0.999


def test_letterboxed_images_come_back_without_their_bars(tmp_path: Path, images: Path) -> None:
    model = unet(keras)
    out, code = run(tmp_path, images, model, "--normalize", "0..1", "--resize", "letterbox")
    assert code == 0
    height, width = SIZES["a"]
    inner = round(height * SIZE / width)
    top = (SIZE - inner) // 2
    plane = np.zeros((1, SIZE, SIZE, 3), np.float32)
    plane[0, top : top + inner] = resized(read_pixels(images / "a.png"), inner, SIZE) / 255
    scores = scores_of(model, plane)[0, top : top + inner]
    assert agreement(read_pixels(out / "masks/a.png"), argmax_at(scores, height, width)) > 0.97


def test_models_of_free_size_see_images_as_they_are(tmp_path: Path, images: Path) -> None:
    model = unet(keras, size=None)
    out, code = run(tmp_path, images, model, "--normalize", "-1..1")
    assert code == 0
    for name, (height, width) in SIZES.items():
        image = read_pixels(images / f"{name}.png").astype(np.float32) / 127.5 - 1
        bottom, right = height % 2, width % 2
        plane = np.pad(image, ((0, bottom), (0, right), (0, 0)), mode="reflect")
        labels = scores_of(model, plane[None])[0, :height, :width].argmax(-1)
        assert agreement(read_pixels(out / f"masks/{name}.png"), labels) > 0.999


def test_colours_in_the_order_of_the_training(tmp_path: Path, images: Path) -> None:
    model = unet(keras)
    out, code = run(tmp_path, images, model, "--normalize", "caffe", "--channel_order", "bgr")
    assert code == 0
    mean = np.array([103.939, 116.779, 123.68], np.float32)
    planes = resized(read_pixels(images / "a.png"), SIZE, SIZE)[None, ..., ::-1] - mean
    expected = argmax_at(scores_of(model, planes)[0], *SIZES["a"])
    assert agreement(read_pixels(out / "masks/a.png"), expected) > 0.999


def test_custom_layers_come_from_a_module_of_the_user(
    tmp_path: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = keras.layers.Input((SIZE, SIZE, 3))
    model = keras.Model(image, keras.layers.Conv2D(3, 3, padding="same")(Double()(image)))
    flags = ("--normalize", "0..1", "--custom_objects", "tests.support.custom_layers")
    assert run(tmp_path, images, model, *flags[:2])[1] == 2
    assert "Double" in capsys.readouterr().err
    assert run(tmp_path, images, model, *flags)[1] == 2
    assert "--trust_model" in capsys.readouterr().err
    out, code = run(tmp_path, images, model, *flags, "--trust_model")
    assert code == 0
    expected = argmax_at(scores_of(model, planes_of(images, "a"))[0], *SIZES["a"])
    assert agreement(read_pixels(out / "masks/a.png"), expected) > 0.999
