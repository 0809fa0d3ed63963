"""The demo: its input, its measure and its picture; the run itself is the same as anybody's."""

import json
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image as Pillow

from maskbeam.pipeline.classes.class_files import read_class_table
from maskbeam.pipeline.commands.demo.demo import demo, measure
from maskbeam.pipeline.commands.demo.sample_input import (
    SAMPLE_CLASSES,
    SAMPLE_MODEL,
    draw_sample,
    scene_id,
    write_sample,
)
from maskbeam.pipeline.commands.demo.scenes import CLASSES, draw_scene
from maskbeam.transforms.comparison.scores import ious

SCENES = 4


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("demo")
    write_sample(root / "input", root / "truth", scenes=SCENES)
    return root


def fake_result(root: Path, share_wrong: float = 0) -> None:
    """Products as a run leaves them: the true masks, of which the upper part is made wrong."""
    for folder in ("masks", "color", "overlay", "binary/field", "confidence"):
        (root / "result" / folder).mkdir(parents=True, exist_ok=True)
    for number in range(SCENES):
        rgb, labels = draw_sample(number)
        labels[: int(share_wrong * len(labels))] = (labels[: int(share_wrong * len(labels))] + 1) % len(CLASSES)
        for folder in ("masks", "color", "binary/field", "confidence"):
            Pillow.fromarray(labels).save(root / "result" / folder / f"{scene_id(number)}.png")
        Pillow.fromarray(rgb).save(root / "result" / "overlay" / f"{scene_id(number)}.jpg")


def test_tensorflow_reads_the_shards_and_they_fit_the_true_masks(sample: Path) -> None:
    files = sorted(str(path) for path in (sample / "input").glob("*.tfrecord"))
    spec = {key: tf.io.FixedLenFeature((), tf.string) for key in ("image/encoded", "image/filename")}
    names = set()
    for record in tf.data.TFRecordDataset(files):
        example = tf.io.parse_single_example(record, spec)
        name = example["image/filename"].numpy().decode()
        image = tf.io.decode_image(example["image/encoded"]).numpy()
        number = int(Path(name).stem.split("-")[1])
        rgb, labels = draw_sample(number)
        truth = np.asarray(Pillow.open(sample / "truth" / f"{Path(name).stem}.png"))
        assert np.array_equal(truth, labels)
        assert np.abs(image.astype(int) - rgb).mean() < (5 if name.endswith(".jpg") else 1e-9)
        names.add(name)
    assert names == {"scene-000.png", "scene-001.jpg", "scene-002.png", "scene-003.jpg"}


def test_writing_the_sample_again_changes_no_byte_and_elsewhere_gives_the_same(sample: Path, tmp_path: Path) -> None:
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in sample.glob("*/*.*")}
    write_sample(sample / "input", sample / "truth", scenes=SCENES)
    assert before == {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in sample.glob("*/*.*")}
    write_sample(tmp_path / "input", tmp_path / "truth", scenes=SCENES)
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*/*.*")} == {k: v[0] for k, v in before.items()}


def test_a_true_mask_measures_1_and_a_wrong_one_less(sample: Path) -> None:
    fake_result(sample)
    assert measure(sample, SCENES).tolist() == [1.0] * len(CLASSES)
    fake_result(sample, share_wrong=0.5)
    assert measure(sample, SCENES).mean() < 0.6


@pytest.mark.parametrize(("share_wrong", "code"), [(0.0, 0), (0.5, 1)])
def test_the_demo_fails_when_its_masks_are_wrong(
    sample: Path, capsys: pytest.CaptureFixture[str], share_wrong: float, code: int
) -> None:
    seen: list[Sequence[str]] = []

    def fake_run(argv: Sequence[str]) -> int:
        seen.append(argv)
        fake_result(sample, share_wrong)
        return 0

    assert demo(str(sample), run=fake_run, scenes=SCENES) == code
    assert seen[0][:2] == ["--input", str(sample / "input" / "*.tfrecord")]
    said = capsys.readouterr().out
    assert "maskbeam run --input" in said
    assert ("TOO LOW" in said) == bool(code)
    for picture in ("demo.png", "products.png"):
        with Pillow.open(sample / picture) as sheet:
            assert sheet.width > 800


def test_the_demo_ends_with_the_runs_code_when_that_fails(sample: Path) -> None:
    assert demo(str(sample), run=lambda _: 3, scenes=SCENES) == 3


def test_the_folders_name_commands_no_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert demo(str(tmp_path / "a\x1b[31mb\u202ec\udcff"), run=lambda _: 3, scenes=1) == 3
    lines = capsys.readouterr().out.split("\n")
    assert len(lines) == 5
    assert all(line.isprintable() for line in lines)


def test_sample_model_is_small_and_right_on_scenes_it_never_saw() -> None:
    assert SAMPLE_MODEL.stat().st_size < 2_000_000
    model = keras.saving.load_model(SAMPLE_MODEL, compile=False)
    scenes = [draw_scene(seed, 192, 256) for seed in range(3_000_000, 3_000_006)]
    pairs = ((truth, model.predict_on_batch(rgb[None])[0].argmax(axis=-1)) for rgb, truth in scenes)
    assert ious(pairs, len(CLASSES)).mean() > 0.85


def test_sample_classes_are_those_of_the_scenes() -> None:
    table = read_class_table(str(SAMPLE_CLASSES), read=lambda path: Path(path).read_bytes())
    assert table.names == CLASSES
    assert table.ids == tuple(range(len(CLASSES)))


def test_the_real_demo_works_and_the_second_time_has_nothing_left_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert demo(str(tmp_path), scenes=SCENES) == 0
    summary = json.loads((tmp_path / "result" / "reports" / "summary.json").read_text())
    masks = {path.name: path.read_bytes() for path in (tmp_path / "result" / "masks").iterdir()}
    assert len(masks) == SCENES
    capsys.readouterr()
    assert demo(str(tmp_path), scenes=SCENES) == 0
    assert masks == {path.name: path.read_bytes() for path in (tmp_path / "result" / "masks").iterdir()}
    assert json.loads((tmp_path / "result" / "reports" / "summary.json").read_text()) == summary
