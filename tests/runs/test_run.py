"""Whole runs of the sample model: every product and report against Pillow, a plain script and each other."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

from maskbeam.pipeline.cli.parser import run_options
from maskbeam.pipeline.commands.demo.scenes import draw_scene
from maskbeam.pipeline.inputs.containers.example import make_example
from maskbeam.pipeline.job.job import Job
from maskbeam.pipeline.main import main
from maskbeam.pipeline.run import engine_loader, run
from maskbeam.transforms.elements import Array
from maskbeam.transforms.predict import Loader
from tests.support.plain_script import agreement, as_file, read_pixels, scores_of
from tests.support.shard_files import write_shard
from tests.support.trees import differing, tree_of

SAMPLE = Path("pipeline/commands/demo/sample_model")
CLASSES = ("field", "forest", "water", "road", "building")
SIZES = {"a": (48, 64), "sub/b c": (61, 50), "d": (32, 32), "x.y": (50, 75), "grey": (40, 40)}
FLAGS = ("--classes", str(SAMPLE / "classes.csv"), "--products", "all", "--max_failures", "50%")


def scene(name: str) -> Array:
    """Aerial-looking and varied: a part of a larger scene."""
    height, width = SIZES[name]
    drawn: Array = draw_scene(len(name), 200, 200)[0][60 : 60 + height, 40 : 40 + width]
    return drawn[..., 1] if name == "grey" else drawn


def command(inputs: str | Path, out: Path, *flags: str) -> list[str]:
    return ["--input", str(inputs), "--model", str(SAMPLE / "unet.keras"), "--output", str(out), *flags]


def segment(inputs: str | Path, out: Path, *flags: str) -> int:
    return main(["run", *command(inputs, out, *flags)])


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "in"
    for name in SIZES:
        path = folder / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(scene(name)).save(path)
    (folder / "broken.png").write_bytes(as_file(scene("d"))[:300])
    (folder / "sub" / "notes.txt").write_text("not an image")
    (folder / "a.jpg").write_bytes(as_file(scene("d"), "JPEG"))
    return folder


@pytest.fixture(scope="module")
def out(images: Path) -> Path:
    """The output of one run with all products: `a.png` and `a.jpg` claim the same id, `broken.png` is cut short."""
    out = images.parent / "out"
    assert segment(images, out, *FLAGS) == 0
    return out


def masks(out: Path) -> dict[str, Array]:
    files = sorted((out / "masks").rglob("*.png"))
    return {str(path.relative_to(out / "masks"))[:-4]: read_pixels(path) for path in files}


def rows(out: Path, name: str) -> list[dict[str, str]]:
    with (out / "reports" / name).open(newline="") as file:
        return list(csv.DictReader(file))


def report(out: Path, name: str = "reports/summary.json") -> Any:
    return json.loads((out / name).read_text())


def plain_scores(image: Array) -> Array:
    """What a plain script gets of the model, which takes any size that 16 divides."""
    model = keras.models.load_model(SAMPLE / "unet.keras", compile=False)
    rgb = np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image
    height, width = rgb.shape[:2]
    sides = ((0, -height % 16), (0, -width % 16), (0, 0))
    return scores_of(model, np.pad(rgb.astype(np.float32), sides, mode="reflect")[None])[0, :height, :width]


def test_masks_are_those_of_a_plain_script(out: Path) -> None:
    made = masks(out)
    assert set(SIZES) - {"a"} < set(made)
    seen = set()
    for name in set(SIZES) - {"a"}:
        expected = plain_scores(scene(name)).argmax(-1)
        assert made[name].dtype == np.uint8
        assert agreement(made[name], expected) > 0.999
        seen |= set(np.unique(expected))
    assert len(seen) >= 3


def test_a_contested_id_has_one_mask_and_one_failure(out: Path) -> None:
    failures = [json.loads(line) for line in (out / "reports/failures.jsonl").read_text().splitlines()]
    assert [(f["id"], f["code"]) for f in failures] == [("a", "DUPLICATE_ID"), ("broken", "UNREADABLE")]
    [kept] = [row for row in rows(out, "images.csv") if row["id"] == "a"]
    assert {kept["source"], failures[0]["where"]} == {str(out.parent / "in" / f"a.{e}") for e in ("png", "jpg")}
    assert "--keep_extension" in failures[0]["reason"]
    name = "a" if kept["source"].endswith("png") else "d"
    assert masks(out)["a"].shape == SIZES[name]


def test_binary_masks_partition_the_labels(out: Path) -> None:
    for name, labels in masks(out).items():
        total = np.zeros(labels.shape, int)
        for class_id, folder in enumerate(CLASSES):
            binary = read_pixels(out / f"binary/{folder}/{name}.png")
            assert np.array_equal(binary, np.where(labels == class_id, 255, 0))
            total += binary > 0
        assert (total == 1).all()


def test_colours_are_those_of_the_table(out: Path) -> None:
    with (SAMPLE / "classes.csv").open(newline="") as file:
        colors = [tuple(bytes.fromhex(row["color"].lstrip("#"))) for row in csv.DictReader(file)]
    for name, labels in masks(out).items():
        with Image.open(out / f"color/{name}.png") as color:
            assert color.mode == "P"
            assert np.array_equal(np.asarray(color), labels)
            assert np.array_equal(np.asarray(color.convert("RGB")), np.array(colors, np.uint8)[labels])


def test_overlays_are_half_image_half_colour(out: Path) -> None:
    for name in set(SIZES) - {"a", "grey"}:
        with Image.open(out / f"color/{name}.png") as color:
            blended = (scene(name).astype(float) + np.asarray(color.convert("RGB"))) / 2
        drawn = read_pixels(out / f"overlay/{name}.jpg")
        assert drawn.shape == blended.shape
        assert np.abs(drawn - blended).mean() < 6


def test_confidence_is_the_largest_probability(out: Path) -> None:
    for name in ("d", "sub/b c"):
        scores = plain_scores(scene(name)).astype(float)
        chances = np.exp(scores - scores.max(-1, keepdims=True))
        expected = (chances / chances.sum(-1, keepdims=True)).max(-1)
        shown = read_pixels(out / f"confidence/{name}.png")
        scale = 65535 if shown.max() > 255 else 255
        assert np.abs(shown / scale - expected).max() < 0.01


def test_reports_count_what_the_masks_hold(out: Path) -> None:
    made = masks(out)
    counted = np.stack([np.bincount(labels.ravel(), minlength=5) for labels in made.values()])
    assert [int(row["pixels"]) for row in rows(out, "classes.csv")] == counted.sum(0).tolist()
    assert [row["name"] for row in rows(out, "classes.csv")] == list(CLASSES)
    shares = counted.sum(0) / counted.sum()
    assert np.allclose([float(row["share"]) for row in rows(out, "classes.csv")], shares)
    assert [int(row["images"]) for row in rows(out, "classes.csv")] == (counted > 0).sum(0).tolist()
    images = rows(out, "images.csv")
    assert [row["id"] for row in images] == sorted(made)
    for row, pixels in zip(images, counted[np.argsort(list(made))], strict=True):
        assert [int(row[f"pixels_{name}"]) for name in CLASSES] == pixels.tolist()
        assert (int(row["height"]), int(row["width"])) == made[row["id"]].shape
        assert 0.2 < float(row["mean_confidence"]) <= 1


def test_the_summary_reconciles(out: Path) -> None:
    made, summary = masks(out), report(out)
    ends = {key: summary[key] for key in ("inputs", "done", "failed", "duplicate")}
    assert ends == {"inputs": 7, "done": 5, "failed": 2, "duplicate": 0}
    assert summary["reconciles"]
    assert summary["failures"] == {"DUPLICATE_ID": 1, "UNREADABLE": 1}
    assert summary["pixels"]["total"] == sum(labels.size for labels in made.values())
    assert {key: report(out, "_SUCCESS")[key] for key in ends} == ends
    [last] = (out / "runs").iterdir()
    assert report(out, f"runs/{last.name}")["written"] == 5


def test_samples_are_overlays_and_the_same_again(out: Path, images: Path) -> None:
    before = tree_of(out)
    samples = [name for name in before if name.startswith("reports/samples/")]
    assert sorted(samples) == sorted(f"reports/samples/{name}.jpg" for name in masks(out))
    for name in masks(out):
        assert before[f"reports/samples/{name}.jpg"][:2] == b"\xff\xd8"
    assert segment(images, out, *FLAGS) == 0
    assert differing(before, tree_of(out)) == []


def test_samples_of_large_images_fit_a_screen(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Image.new("RGB", (4100, 41)).save(tmp_path / "in" / "long.png")
    assert segment(tmp_path / "in", tmp_path / "out") == 0
    with Image.open(tmp_path / "out/reports/samples/long.jpg") as sample:
        assert sample.size == (1367, 14)
    assert masks(tmp_path / "out")["long"].shape == (41, 4100)


def test_the_whole_output_verifies(out: Path) -> None:
    assert main(["verify", str(out)]) == 0


def test_a_sample_of_the_input_then_all_of_it(images: Path, tmp_path: Path) -> None:
    inputs = images / "[adgx]*.png"
    assert segment(inputs, tmp_path / "out", "--limit", "2") == 0
    first = masks(tmp_path / "out")
    assert len(first) == 2
    assert report(tmp_path / "out")["inputs"] == 2
    assert segment(inputs, tmp_path / "out") == 0
    newest = max((tmp_path / "out/runs").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    last = json.loads(newest.read_text())
    assert (last["written"], last["skipped"]) == (2, 2)
    assert segment(inputs, tmp_path / "at once") == 0
    assert differing(tree_of(tmp_path / "at once"), tree_of(tmp_path / "out")) == []


def test_any_batch_size_gives_the_same_masks(images: Path, tmp_path: Path) -> None:
    for index in range(7):
        image = draw_scene(index, 64, 64)[0]
        (tmp_path / "in").mkdir(exist_ok=True)
        Image.fromarray(image).save(tmp_path / f"in/{index}.png")
    trees = []
    for size in (1, 3, 16):

        def loader(job: Job, size: int = size) -> tuple[Loader, Job]:
            return engine_loader(replace(job, probe=replace(job.probe, batch_size=size)))

        out = tmp_path / f"out{size}"
        assert run(run_options(command(tmp_path / "in", out)), make_loader=loader) == 0
        trees.append(masks(out))
    for other in trees[1:]:
        assert all(np.array_equal(trees[0][name], other[name]) for name in trees[0])


def test_slices_from_a_folder_and_from_shards_give_the_same_masks(tmp_path: Path) -> None:
    slices = {f"{index:02}": draw_scene(index, 64, 48)[0][..., 0] for index in range(5)}
    for name, image in slices.items():
        (tmp_path / "in").mkdir(exist_ok=True)
        Image.fromarray(image).save(tmp_path / f"in/{name}.png")
    records = [make_example({"image/encoded": as_file(s), "image/filename": f"{n}.png"}) for n, s in slices.items()]
    write_shard(tmp_path / "shards/0.tfrecord", records[:2])
    write_shard(tmp_path / "shards/1.bin", records[2:], compress=True)
    raw = [
        make_example(
            {
                "image/encoded": image.tobytes(),
                "image/filename": name,
                "image/height": image.shape[0],
                "image/width": image.shape[1],
                "image/channels": 1,
            }
        )
        for name, image in slices.items()
    ]
    write_shard(tmp_path / "raw/0.tfrecord", raw)
    lines = "".join(json.dumps({"uri": str(tmp_path / f"in/{name}.png"), "id": name}) + "\n" for name in slices)
    (tmp_path / "list.jsonl").write_text(lines)
    made = []
    for inputs in ("in", "shards", "raw", "list.jsonl"):
        assert segment(tmp_path / inputs, tmp_path / "out" / inputs) == 0
        made.append(masks(tmp_path / "out" / inputs))
    assert set(made[0]) == set(slices)
    for other in made[1:]:
        assert set(other) == set(slices)
        assert all(np.array_equal(made[0][name], other[name]) for name in slices)
