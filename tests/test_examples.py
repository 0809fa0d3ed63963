"""The examples are run as they are; that for Flink is taken apart by its shell, and what it says is understood."""

import runpy
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from examples import own_engine
from maskbeam.pipeline.cli.parser import check_beam_flags, run_options
from tests.support.documents import ROOT, tiny_run


def test_an_engine_of_one_s_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    drawn = np.zeros((2, 3, 3), np.uint8)
    drawn[0, :, 2], drawn[1, :, 0] = 200, 100
    Pillow.fromarray(drawn).save(tmp_path / "in/drawn.png")
    (tmp_path / "in/broken.jpg").write_bytes(b"no image")
    own_engine.main(str(tmp_path / "in"), str(tmp_path / "out"))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["drawn.png"]
    assert np.asarray(Pillow.open(tmp_path / "out/drawn.png")).tolist() == [[2, 2, 2], [0, 0, 0]]
    said = capsys.readouterr()
    assert sorted(said.out.splitlines()) == ["class 0: 3 pixels", "class 1: 0 pixels", "class 2: 3 pixels"]
    assert "in/broken.jpg: UNREADABLE" in said.err


def test_reading_an_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tiny_run(tmp_path).out
    monkeypatch.setattr("sys.argv", ["reading_output.py", str(out)])
    capsys.readouterr()
    names = runpy.run_path("examples/reading_output.py", run_name="__main__")
    masks = sorted((out / "masks").iterdir())
    assert [image.image_id for image in names["images"]] == [mask.stem for mask in masks]
    held = np.asarray(Pillow.open(masks[0]))
    assert np.array_equal(names["mask"], held)
    assert list(names["shares"].values()) == [np.mean(held == class_id) for class_id in range(3)]
    assert {path.partition("/")[0] for path in names["drawn"]} == {"binary", "color", "confidence", "overlay"}
    assert names["failures"] == {"UNREADABLE": 1}
    assert f"{out}: a success" in capsys.readouterr().out


def test_flink(tmp_path: Path) -> None:
    (tmp_path / "maskbeam").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (tmp_path / "maskbeam").chmod(0o755)
    variables = {"PATH": f"{tmp_path}:/usr/bin:/bin", "BUCKET": "gs://b", "JOB_SERVER": "server:8099"}
    done = subprocess.run(["examples/flink.sh"], env=variables, capture_output=True, text=True, check=True, cwd=ROOT)
    command, *words = done.stdout.splitlines()
    options = run_options(words)
    assert (command, options.read.patterns, options.output.path) == (
        "run",
        ("gs://b/scenes/*.tfrecord",),
        "gs://b/masks",
    )
    check_beam_flags(options.beam)
    told = (ROOT / "docs/cluster.md").read_text()
    assert "--job_endpoint=server:8099" in options.beam
    assert [flag for flag in options.beam if flag.partition("=")[0] not in told] == []
