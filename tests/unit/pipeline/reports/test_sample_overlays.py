import json
from pathlib import Path
from typing import Any

import pytest

from maskbeam.pipeline.inputs.read import reread
from maskbeam.pipeline.reports import sample_overlays
from maskbeam.transforms.elements import EncodedImage, Source
from tests.support.numpy_engine import command, run_numpy
from tests.support.trees import draw_folder


def test_a_sample_that_cannot_be_drawn_is_said_once_and_fails_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    inputs, out = draw_folder(tmp_path / "in", 5), tmp_path / "out"

    def vanished(source: Source, *args: Any) -> EncodedImage:
        Path(source.where).unlink() if source.where.endswith(("1.png", "3.png")) else None
        return reread(source, *args)

    monkeypatch.setattr(sample_overlays, "reread", vanished)
    assert run_numpy(command(str(inputs), str(out), "--fail_on_degenerate")) == 0
    said = capsys.readouterr().out
    assert said.count("\nWarning  reports/samples/ lacks 2 of 5 overlays: ") == 1
    assert "img000" not in said
    assert len(list((out / "reports/samples").iterdir())) == 3
    assert json.loads((out / "reports/summary.json").read_text())["warnings"] == []
    (run,) = (out / "runs").iterdir()
    assert len(json.loads(run.read_text())["warnings"]) == 1
