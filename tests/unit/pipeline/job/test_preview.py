from collections import Counter
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from maskbeam.pipeline.inputs.listing import InputSummary
from maskbeam.pipeline.job.preview import OutputSize
from maskbeam.pipeline.main import main
from tests.support.models import save, unet
from tests.support.plain_script import agreement, read_pixels, resized
from tests.support.trees import pixels, tree_of


def found(files: int = 0, shards: int = 0, shard_bytes: int = 0) -> InputSummary:
    return InputSummary(files, shards, shard_bytes, Counter(), (), shard_bytes)


def test_the_estimate_and_its_rule() -> None:
    size = OutputSize(sampled=4, bytes=8_000, input_bytes=4_000)
    assert size.of(found(files=1000), None) == (
        "about 1,000 images, 2.0 MB (sampled 4 images: 1.0 kB of input and 2.0 kB of output each)"
    )
    assert size.of(found(files=1000), 10).startswith("about 10 images, 0.0 MB")
    assert size.of(found(shards=2, shard_bytes=500_000), None).startswith("about 500 images, 1.0 MB")
    assert size.of(found(files=3, shards=2, shard_bytes=500_000), None).startswith("about 503 images")
    assert "not known" in OutputSize(0, 0, 0).of(found(files=3), None)


@pytest.fixture
def jpegs(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for number, size in enumerate(((300, 320), (256, 256), (40, 40))):
        Image.fromarray(resized(pixels(number, (6, 6)), *size).astype(np.uint8)).save(folder / f"{number}.jpg")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing more")
    return folder


def run(tmp_path: Path, model: str, *flags: str) -> int:
    argv = ["--input", str(tmp_path / "in"), "--model", model, "--output", str(tmp_path / "out"), *flags]
    return main(["run", *argv, "--normalize", "0..1", "--resize", "stretch", "--max_failures", "1"])


def test_a_dry_run_tells_the_size_that_the_output_gets(
    tmp_path: Path, jpegs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = str(save(unet(keras), tmp_path / "m.keras"))
    assert run(tmp_path, model, "--products", "all", "--dry_run") == 0
    [line] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("Size")]
    assert "1 sampled image failed, such as UNREADABLE: " in line
    (jpegs / "broken.jpg").unlink()
    assert not (tmp_path / "out").exists()
    assert run(tmp_path, model, "--products", "all") == 0
    images = ("masks/", "color/", "binary/", "overlay/", "confidence/")
    written = sum(len(data) for name, data in tree_of(tmp_path / "out").items() if name.startswith(images))
    assert f"4 images, {written / 3 * 4 / 1e6:,.1f} MB" in line


def test_fast_decoding_says_what_it_changes(tmp_path: Path, jpegs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = str(save(unet(keras), tmp_path / "m.keras"))
    assert run(tmp_path, model) == 0
    exact = {name: read_pixels(tmp_path / f"out/masks/{name}.png") for name in "012"}
    capsys.readouterr()
    assert run(tmp_path, model, "--overwrite", "--fast_decode", "--products", "overlay") == 0
    said = capsys.readouterr().err
    shares = [agreement(read_pixels(tmp_path / f"out/masks/{name}.png"), exact[name]) for name in "012"]
    assert 0.9 < min(shares) < 1
    assert shares[2] == 1
    assert read_pixels(tmp_path / "out/overlay/0.jpg").shape == (300, 320, 3)
    assert "--fast_decode" in said
    # The small one is decoded as always.
    changed = sum(shares[i] * s for i, s in enumerate((300 * 320, 256 * 256))) / (300 * 320 + 256 * 256)
    assert f"{100 * changed:.1f}% of the labels of 2 sampled images stay the same" in said


def test_fast_decoding_is_not_for_models_of_free_size(tmp_path: Path, jpegs: Path) -> None:
    assert jpegs.is_dir()
    model = str(save(unet(keras, size=None), tmp_path / "m.keras"))
    argv = ["run", "--input", str(tmp_path / "in"), "--model", model, "--output", str(tmp_path / "out")]
    assert main([*argv, "--normalize", "0..1", "--fast_decode"]) == 2
