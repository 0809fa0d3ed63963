import json
import re
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import PIL.Image
import pytest
import tf_keras

from maskbeam.pipeline.cli.command_text import run_command
from maskbeam.pipeline.cli.parser import run_options
from maskbeam.pipeline.cli.places import absolute_options
from maskbeam.pipeline.commands.demo.scenes import draw_scene
from maskbeam.pipeline.commands.inspect.batch_statistics import BatchStatistics
from maskbeam.pipeline.commands.inspect.contact_sheet import draw_contact_sheet
from maskbeam.pipeline.commands.inspect.inspect_model import SHEET, inspect
from maskbeam.pipeline.commands.inspect.variants import Finding, Variant
from maskbeam.pipeline.main import main
from maskbeam.pipeline.options import (
    DecodeOptions,
    LabelOptions,
    ModelOptions,
    OutputOptions,
    ReadOptions,
    RunOptions,
)
from maskbeam.transforms.classes.class_table import generated_table
from maskbeam.transforms.elements import Array
from maskbeam.transforms.errors import RunError
from maskbeam.transforms.normalize import normalize, parse_normalization
from tests.support.models import save, unet

SIZE = 32
PICTURES = np.stack([draw_scene(seed, 64, 64)[0] for seed in range(3)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pictures, and one that is damaged."""
    root: Path = tmp_path_factory.mktemp("pictures")
    for number, picture in enumerate(PICTURES):
        PIL.Image.fromarray(picture).save(root / f"{number}.png")
    (root / "broken.png").write_bytes(b"not a picture")
    return root


def trained_with(K: Any, normalization: str, order: str) -> Any:
    """A network whose batch normalisation remembers images of one scaling and order."""
    K.utils.set_random_seed(0)
    image = K.Input((SIZE, SIZE, 3))
    first = K.layers.Conv2D(8, 3, padding="same")(image)
    after = K.layers.BatchNormalization(name="norm")(first)
    model = K.Model(image, K.layers.Conv2D(4, 1, kernel_initializer="he_normal")(K.layers.ReLU()(after)))
    batch = normalize(PICTURES[:, ::2, ::2].astype(np.float32), parse_normalization(normalization), order)
    seen = np.asarray(K.Model(image, first)(batch)).reshape(-1, 8)
    layer = model.get_layer("norm")
    gamma, beta = layer.get_weights()[:2]
    layer.set_weights([gamma, beta, seen.mean(axis=0), seen.var(axis=0)])
    return model


def inspected(options: RunOptions) -> tuple[int, str]:
    lines: list[str] = []
    code = inspect(options, say=lines.append)
    return code, "\n".join(lines)


def options_for(path: Path, folder: Path | None, output: Path, **model: Any) -> RunOptions:
    patterns = (str(folder),) if folder else ()
    return RunOptions(
        read=ReadOptions(patterns=patterns),
        model=ModelOptions(path=str(path), **model),
        output=OutputOptions(path=str(output)),
    )


@pytest.mark.parametrize(
    ("K", "normalization", "order"),
    [(keras, "-1..1", "rgb"), (keras, "imagenet", "bgr"), (tf_keras, "none", "rgb")],
)
def test_the_scaling_of_the_training_is_found(
    K: Any, normalization: str, order: str, folder: Path, tmp_path: Path
) -> None:
    path = save(trained_with(K, normalization, order), tmp_path / "model.keras")
    code, told = inspected(options_for(path, folder, tmp_path / "out"))
    assert code == 0
    command = shlex.split(told.rpartition("To run it: maskbeam run ")[2])
    found = run_options(command).model
    assert (found.normalize, found.channel_order) == (normalization, order)
    assert "left out: UNREADABLE" in told
    ways = re.search(r"3 images, fed in (\d+) ways", told)
    assert ways is not None
    assert int(ways[1]) > 10, "each of five scalings in both orders, and filters"
    assert re.search(r"^ +none +bgr +tf ", told, re.MULTILINE)
    assert "none of its own" in told
    with PIL.Image.open(tmp_path / "out" / SHEET) as sheet:
        assert sheet.width == 8 + (1 + 10 + 4) * 188


def test_a_model_that_scales_by_itself_leaves_nothing_to_choose(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = unet(keras, prepare=keras.layers.Rescaling(1 / 255))
    options = options_for(save(model, tmp_path / "model.keras"), folder, tmp_path)
    code, told = inspected(options)
    assert inspect(options, format="json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert f"To run it: {facts['command']}" == told.splitlines()[-1]
    assert f"  {facts['evidence'][0]}" in told
    assert f"{facts['images']} images, fed in {len(facts['ways'])} ways" in told
    assert facts["best"] in [{name: way[name] for name in facts["best"]} for way in facts["ways"]]
    assert all(sum(way["shares"].values()) == pytest.approx(1) for way in facts["ways"])
    assert facts["model"]["sha256"] in told
    assert Path(facts["picture"]).exists()
    assert code == 0
    assert "the model has its own, Rescaling" in told
    assert " none       bgr   tf " in told
    assert " none       rgb   nearest " in told
    assert "--normalize" not in told.rpartition("To run it:")[2]


def test_without_statistics_the_person_chooses(folder: Path, tmp_path: Path) -> None:
    code, told = inspected(options_for(save(unet(keras), tmp_path / "saved"), folder, tmp_path))
    assert code == 0
    assert "a SavedModel folder" in told
    assert "look at the pictures" in told
    assert "3 images, fed in 10 ways" in told
    assert "Choose the scaling and the order whose masks are right" in told
    assert "To run it" not in told
    code, told = inspected(options_for(tmp_path / "saved", folder, tmp_path, normalize="none", channel_order="bgr"))
    assert "none       bgr   pillow-bicubic" in told
    assert "--normalize none --channel_order bgr" in told.rpartition("To run it: maskbeam run ")[2]


def test_images_of_the_models_size_need_no_filter(tmp_path: Path) -> None:
    PIL.Image.fromarray(PICTURES[0][:SIZE, :SIZE]).save(tmp_path / "a.png")
    model = save(unet(keras), tmp_path / "saved")
    assert (
        "1 image, fed in 2 ways" in inspected(options_for(model, tmp_path / "a.png", tmp_path, normalize="none"))[1]
    )


def test_images_that_cannot_be_used_are_told_with_what_helps(tmp_path: Path) -> None:
    PIL.Image.fromarray(np.zeros((8, 400, 3), np.uint8)).save(tmp_path / "wide.png")
    options = options_for(save(unet(keras), tmp_path / "model.keras"), tmp_path / "wide.png", tmp_path)
    with pytest.raises(
        RunError, match=r"none of the 1 image .* add --resize stretch or --resize letterbox, and inspect"
    ):
        inspect(options, say=lambda _: None)
    _, told = inspected(replace(options, model=replace(options.model, resize="stretch")))
    assert "1 image, fed in 10 ways" in told


def test_without_images_the_facts_are_told(tmp_path: Path) -> None:
    path = save(unet(keras, head="softmax", classes=4), tmp_path / "model.keras")
    code, told = inspected(options_for(path, None, tmp_path))
    assert code == 0
    assert "head probabilities" in told
    assert "3 class_3" in told
    assert "this command shows which scaling fits" in told
    assert not (tmp_path / SHEET).exists()


@pytest.mark.parametrize("head", ["ids", "sigmoid", "multilabel", "flat", "channels_first"])
def test_any_head_can_be_looked_at(head: str, folder: Path, tmp_path: Path) -> None:
    path = save(unet(keras, head=head), tmp_path / "model.keras")
    code, told = inspected(options_for(path, folder, tmp_path, normalize="0..1"))
    assert code == 0
    assert "Predicted share of each channel" in told
    assert "--normalize 0..1" in told


def test_classes_are_named(folder: Path, tmp_path: Path) -> None:
    path = save(unet(keras), tmp_path / "model.keras")
    (tmp_path / "classes.csv").write_text("id,name\n0,soil\n4,crop\n9,weed\n")
    options = options_for(path, folder, tmp_path, normalize="0..1")
    labels = LabelOptions(classes=str(tmp_path / "classes.csv"))
    assert "2 weed" in inspected(replace(options, label=labels))[1]
    (tmp_path / "classes.csv").write_text("id,name\n0,soil\n4,crop\n")
    with pytest.raises(RunError, match="background"):
        inspect(replace(options, label=labels), say=lambda _: None)


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = save(unet(keras), tmp_path / "model.keras")
    assert main(["inspect", "--model", str(path)]) == 0
    assert "To run it" not in capsys.readouterr().out, "it would be refused: the scaling is not known"
    assert main(["inspect", "--model", str(path), "--normalize", "0..1"]) == 0
    assert "To run it: maskbeam run --input INPUT" in capsys.readouterr().out


def test_a_model_of_ids_needs_a_class_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = save(unet(keras, head="ids"), tmp_path / "model.keras")
    command = ["inspect", "--model", str(path), "--normalize", "0..1"]
    assert main(command) == 0
    told = capsys.readouterr().out
    assert re.search(r"a row for each and name it in place of CLASSES\. Ids seen so far: \d", told)
    assert "--classes CLASSES" in told.rpartition("To run it: ")[2]
    (tmp_path / "classes.csv").write_text("id,name\n0,soil\n1,crop\n2,weed\n")
    assert main([*command, "--classes", str(tmp_path / "classes.csv")]) == 0
    told = capsys.readouterr().out
    assert "CLASSES" not in told
    assert "--classes " in told.rpartition("To run it: ")[2]


class TestBatchStatistics:
    @pytest.mark.parametrize("K", [keras, tf_keras])
    def test_mismatch_is_zero_for_what_training_saw(self, K: Any) -> None:
        model = trained_with(K, "-1..1", "rgb")
        pictures = PICTURES[:, ::2, ::2].astype(np.float32)
        statistics = BatchStatistics(model)

        def mismatch(scaling: str) -> float:
            with statistics.watch():
                for picture in pictures:
                    model(normalize(picture[None], parse_normalization(scaling)), training=False)
            return statistics.mismatch() or 0.0

        assert mismatch("-1..1") < 0.01
        assert mismatch("0..1") > 0.1
        assert mismatch("none") > 10
        call: Callable[..., Any] = model.get_layer("norm").call
        assert call.__name__ == "call", "the layer is as it was"

    def test_a_model_without_such_layers_tells_nothing(self) -> None:
        statistics = BatchStatistics(unet(keras))
        with statistics.watch():
            pass
        assert statistics.mismatch() is None


def test_the_sheet_shows_labels_in_their_colours() -> None:
    table = generated_table(3)
    labels: Array = np.full((10, 10), 2, np.uint8)
    finding = Finding(Variant("0..1", "rgb", "tf"), (labels,), np.array([0.0, 0.0, 1.0]), 0.9, None)
    sheet = draw_contact_sheet([np.zeros((10, 10, 3), np.uint8)], [finding, finding], table, marked=finding)
    colors = {color for _, color in sheet.getcolors(1 << 20) or []}
    assert table.classes[2].color in colors


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_the_sheet_shows_pictures_of_any_channels(channels: int) -> None:
    picture: Array = np.full((10, 10, channels), 77, np.uint8)
    sheet = draw_contact_sheet([picture], [], generated_table(3), marked=None)
    assert (77, 77, 77) in {color for _, color in sheet.getcolors(1 << 20) or []}


@pytest.mark.parametrize(
    "options",
    [
        RunOptions(),
        RunOptions(
            read=ReadOptions(patterns=("a b/*.jpg", "gs://x/y"), limit=5, keep_extension=True),
            decode=DecodeOptions(input_range=(0.0, 4095.0), background=(1, 2, 3)),
            model=ModelOptions(path="m.keras", normalize="-1..1", channel_order="bgr", custom_objects=("a.b",)),
            label=LabelOptions(threshold=0.25, classes="it's.csv"),
            output=OutputOptions(products=frozenset({"color", "overlay"}), binary_classes=("a", "b")),
        ),
    ],
)
def test_a_command_gives_its_options_back(options: RunOptions) -> None:
    needed = replace(
        options,
        read=replace(options.read, patterns=options.read.patterns or ("in",)),
        model=replace(options.model, path="m.keras"),
        output=replace(options.output, path="out"),
    )
    words = shlex.split(run_command(needed))
    assert words[:2] == ["maskbeam", "run"]
    assert run_options(words[2:]) == absolute_options(needed)
