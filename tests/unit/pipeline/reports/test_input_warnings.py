"""What was found and is no input is told wherever a run tells what became of its inputs, and names nobody."""

import json
from pathlib import Path

import pytest

from maskbeam.pipeline.reports.input_warnings import left_out_warnings
from maskbeam.pipeline.text.wording import by_kind
from maskbeam.transforms.elements import Found
from tests.support.numpy_engine import command, run_numpy
from tests.support.shard_files import write_tree
from tests.support.trees import draw_folder


def test_a_run_says_what_it_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = draw_folder(tmp_path / "in", 3)
    write_tree(folder, ["scan.Miller", "x.\x1b[31mred", "1.2"], bytes(128) + b"DICM")
    write_tree(folder, ["y.Miller", "notes.txt"], b"text")
    out = tmp_path / "out"
    assert run_numpy(command(str(folder), str(out), "--fail_on_degenerate")) == 0
    left_out = {".txt": 1, "DICOM": 3, "with another extension": 1}
    summary = json.loads((out / "reports/summary.json").read_text())
    (ended,) = (json.loads(path.read_text()) for path in (out / "runs").iterdir())
    assert summary["left_out"] == ended["left_out"] == left_out
    assert list(summary["left_out"]) == sorted(left_out)
    assert summary["degenerate"] is False
    said = "".join(capsys.readouterr())
    assert "Left out 3 DICOM, 1 .txt, 1 with another extension\n" in said
    assert any(warning.startswith("5 of 8 files of --input left out: 3 DICOM") for warning in summary["warnings"])
    assert "5 of 8 files of --input left out: 3 DICOM" in said
    for told in (said, *summary["warnings"]):
        assert "miller" not in told.lower()
        assert "\x1b" not in told


def test_more_than_half_is_a_warning() -> None:
    assert left_out_warnings(Found(9, 5, {"AVIF": 3, ".md": 2})) == []
    assert left_out_warnings(Found(1, 5, {})) == []
    (warning,) = left_out_warnings(Found(9, 5, {"AVIF": 1003, ".md": 2}))
    assert warning.startswith("1,005 of 1,010 files of --input left out: 1,003 AVIF, 2 .md. ")


def test_kinds_in_words() -> None:
    assert by_kind({"b": 2, "a": 2, "c": 1500}) == "1,500 c, 2 a, 2 b"
    assert by_kind({str(n): 9 - n for n in range(8)}) == "9 0, 8 1, 7 2, 6 3, 5 4, 9 of other kinds"
