"""Every option of a run does in a whole run what its help says; with an engine in numpy, where red, green and blue
are three classes and the strongest wins."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from maskbeam.pipeline.cli.parser import run_options
from maskbeam.pipeline.models.files.model_file import ModelFile
from maskbeam.pipeline.models.probing.probe import Probe
from maskbeam.pipeline.run import run
from maskbeam.transforms.elements import Array
from maskbeam.transforms.errors import RunError
from tests.support.numpy_engine import MODEL, command, numpy_loader, numpy_probe, run_numpy
from tests.support.plain_script import read_pixels
from tests.support.trees import pixels, save

SIZE = (12, 14)
IMAGE = pixels("image", SIZE)


@pytest.fixture
def image(tmp_path: Path) -> str:
    save(tmp_path / "in/a.png", IMAGE)
    return str(tmp_path / "in")


def segment(inputs: str, out: Path, *flags: str) -> int:
    return run_numpy(command(inputs, str(out), *flags))


def mask(out: Path, name: str = "a") -> Array:
    return read_pixels(out / f"masks/{name}.png")


def chances(image: Array) -> Array:
    scores = np.exp(image.astype(float) - image.max(-1, keepdims=True))
    made: Array = scores / scores.sum(-1, keepdims=True)
    return made


def rows(out: Path, name: str) -> list[dict[str, str]]:
    with (out / "reports" / name).open(newline="") as file:
        return list(csv.DictReader(file))


def test_sixteen_bits_go_by_their_range(tmp_path: Path) -> None:
    grey = np.arange(168, dtype=np.uint16).reshape(SIZE) * 24
    save(tmp_path / "in/deep.png", grey)
    assert segment(str(tmp_path / "in"), tmp_path / "out", "--products", "overlay", "--overlay_opacity", "0") == 0
    assert read_pixels(tmp_path / "out/overlay/deep.jpg").max() < 20
    flags = ("--products", "overlay", "--overlay_opacity", "0", "--input_range", "0,4095")
    assert segment(str(tmp_path / "in"), tmp_path / "ranged", *flags) == 0
    drawn = read_pixels(tmp_path / "ranged/overlay/deep.jpg").astype(float)
    assert np.abs(drawn - grey[..., None] / 4095 * 255).mean() < 3


def test_floats_need_a_range(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Image.fromarray(np.linspace(0, 1, 168, dtype=np.float32).reshape(SIZE)).save(tmp_path / "in/f.tif")
    assert segment(str(tmp_path / "in"), tmp_path / "out") == 3
    failure = json.loads((tmp_path / "out/reports/failures.jsonl").read_text())
    assert failure["code"] == "BAD_VALUE_RANGE"
    assert "--input_range" in failure["reason"]
    assert segment(str(tmp_path / "in"), tmp_path / "out2", "--input_range", "0,1") == 0


def test_transparent_pixels_show_the_background(tmp_path: Path) -> None:
    rgba = np.dstack([IMAGE, np.zeros(SIZE, np.uint8)])
    save(tmp_path / "in/a.png", rgba)
    assert segment(str(tmp_path / "in"), tmp_path / "out", "--background", "0,200,0") == 0
    assert (mask(tmp_path / "out") == 1).all()


def test_images_of_too_many_pixels_fail(image: str, tmp_path: Path) -> None:
    assert segment(image, tmp_path / "out", "--max_pixels", "100") == 3
    assert not (tmp_path / "out/_SUCCESS").exists()
    assert json.loads((tmp_path / "out/reports/failures.jsonl").read_text())["code"] == "TOO_LARGE"


def test_unsure_pixels_get_the_ignore_label(image: str, tmp_path: Path) -> None:
    flags = ("--min_confidence", "0.9", "--ignore_label", "77", "--products", "binary,color,confidence")
    assert segment(image, tmp_path / "out", *flags) == 0
    sure = chances(IMAGE).max(-1)
    clear = np.abs(sure - 0.9) > 1e-4
    expected = np.where(sure < 0.9, 77, IMAGE.argmax(-1))
    assert 0 < (expected == 77).sum() < expected.size
    held = mask(tmp_path / "out")
    assert np.array_equal(held[clear], expected[clear])
    for class_id in range(3):
        binary = read_pixels(tmp_path / f"out/binary/class_{class_id}/a.png")
        assert np.array_equal(binary > 0, held == class_id)
    [row] = rows(tmp_path / "out", "images.csv")
    assert int(row["ignored"]) == (held == 77).sum()
    labelled = sum(int(row[f"pixels_class_{i}"]) for i in range(3))
    assert labelled + int(row["ignored"]) == held.size
    shares = [float(row["share"]) for row in rows(tmp_path / "out", "classes.csv")]
    assert sum(shares) == pytest.approx(1)


def test_an_ignore_label_must_be_free(image: str, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="--ignore_label 2 is the id of 'class_2'"):
        segment(image, tmp_path / "out", "--ignore_label", "2")


@pytest.mark.parametrize("measure", ["probability", "entropy", "margin"])
def test_measures_of_confidence(measure: str, image: str, tmp_path: Path) -> None:
    assert segment(image, tmp_path / "out", "--products", "confidence", "--confidence", measure) == 0
    p = np.sort(chances(IMAGE), axis=-1)
    expected = {
        "probability": p[..., -1],
        "entropy": 1 + (p * np.log(np.maximum(p, 1e-300))).sum(-1) / np.log(3),
        "margin": p[..., -1] - p[..., -2],
    }[measure]
    shown = read_pixels(tmp_path / "out/confidence/a.png")
    assert np.abs(shown / (65535 if shown.dtype == np.uint16 else 255) - expected).max() < 0.01


def test_binary_masks_of_chosen_classes(image: str, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("red\ngreen\nblue\n")
    flags = ("--products", "binary", "--binary_classes", "blue,red", "--classes", str(tmp_path / "names.txt"))
    assert segment(image, tmp_path / "out", *flags) == 0
    assert sorted(path.name for path in (tmp_path / "out/binary").iterdir()) == ["blue", "red"]
    assert [row["name"] for row in rows(tmp_path / "out", "classes.csv")] == ["red", "green", "blue"]
    with pytest.raises(RunError, match="yellow"):
        segment(image, tmp_path / "out2", *flags[:2], "--binary_classes", "yellow", *flags[4:])


def test_parquet_holds_what_csv_holds(image: str, tmp_path: Path) -> None:
    import pyarrow.parquet

    assert segment(image, tmp_path / "out", "--parquet") == 0
    table = pyarrow.parquet.read_table(tmp_path / "out/reports/images.parquet").to_pylist()
    [held], [row] = table, rows(tmp_path / "out", "images.csv")
    assert held.pop("mean_confidence") == pytest.approx(float(row.pop("mean_confidence")))
    assert {key: str(value) for key, value in held.items()} == row


def test_the_model_may_be_pinned(image: str, tmp_path: Path) -> None:
    import hashlib

    right = hashlib.sha256(Path(MODEL).read_bytes()).hexdigest()
    assert segment(image, tmp_path / "out", "--model_sha256", right) == 0
    with pytest.raises(RunError, match="is not the digest"):
        segment(image, tmp_path / "out2", "--model_sha256", right[::-1])


def test_failures_within_what_is_allowed(image: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(3):
        save(Path(image) / f"good{number}.png", pixels(number, SIZE))
    (Path(image) / "bad.png").write_bytes(b"no image")
    for allowed, code in (("0.1%", 3), ("0", 3), ("1", 0), ("20%", 0)):
        assert segment(image, tmp_path / "out", "--max_failures", allowed) == code
        assert (tmp_path / "out/_SUCCESS").exists() == (code == 0)
        assert (tmp_path / "out/masks/good2.png").exists()
        said = capsys.readouterr().out
        assert ("NOT DONE" in said) == (code == 3)
        assert "1 of 5 inputs failed" in said


def test_a_model_that_looks_dead_fails_when_asked(tmp_path: Path) -> None:
    save(tmp_path / "in/red.png", np.full((*SIZE, 3), (250, 1, 1), np.uint8))
    assert segment(str(tmp_path / "in"), tmp_path / "out") == 0
    summary: Any = json.loads((tmp_path / "out/reports/summary.json").read_text())
    assert summary["degenerate"]
    assert segment(str(tmp_path / "in"), tmp_path / "out", "--fail_on_degenerate") == 3
    assert not (tmp_path / "out/_SUCCESS").exists()


def test_ids_keep_their_extension_and_begin_where_told(image: str, tmp_path: Path) -> None:
    save(tmp_path / "in/sub/a.png", IMAGE)
    assert segment(image, tmp_path / "out", "--keep_extension", "--id_root", str(tmp_path)) == 0
    assert [row["id"] for row in rows(tmp_path / "out", "images.csv")] == ["in/a.png", "in/sub/a.png"]
    assert (tmp_path / "out/masks/in/sub/a.png.png").is_file()


def test_nan_pixels_fail_or_are_ignored(tmp_path: Path) -> None:
    from tests.support.numpy_engine import NAN

    poisoned = IMAGE.copy()
    poisoned[0, 0] = NAN
    save(tmp_path / "in/a.png", poisoned)
    assert segment(str(tmp_path / "in"), tmp_path / "out") == 3
    assert json.loads((tmp_path / "out/reports/failures.jsonl").read_text())["code"] == "NONFINITE"
    assert segment(str(tmp_path / "in"), tmp_path / "out2", "--nonfinite", "ignore") == 0
    assert mask(tmp_path / "out2")[1, 1] == 255


def test_a_threshold_is_a_probability(image: str, tmp_path: Path) -> None:
    def one_channel(options: Any, model: ModelFile) -> Probe:
        from dataclasses import replace

        probe = numpy_probe(options, model)
        return replace(probe, head=replace(probe.head, kind="multilabel_logits"))

    flags = ["--threshold", "0.9999", "--head", "multilabel_logits"]
    argv = command(image, str(tmp_path / "out"), *flags)
    assert run(run_options(argv), find_probe=one_channel, make_loader=numpy_loader) == 0
    cut = np.log(0.9999 / 0.0001)
    for channel in range(3):
        binary = read_pixels(tmp_path / f"out/binary/class_{channel}/a.png")
        assert np.array_equal(binary > 0, IMAGE[..., channel] > cut)
