from pathlib import Path

import pytest

from maskbeam.pipeline.output.ours import is_own
from maskbeam.pipeline.reports import report_writer
from maskbeam.pipeline.reports.run_reports import REPORTS, Ended
from tests.support.numpy_engine import command, run_numpy
from tests.support.trees import draw


def told(ended: Ended) -> str:
    return f"{ended.counts.done} done, {len(ended.warnings)} warnings, exit code {ended.verdict.code:d}"


def test_every_report_has_a_name_of_ours() -> None:
    assert [name for name, _ in REPORTS if not is_own("reports", name)] == []


def test_a_later_report_is_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_writer, "REPORTS", (*REPORTS, ("report.txt", told)))
    inputs, out = draw(tmp_path / "in/a.png", 1).parent, tmp_path / "out"
    assert run_numpy(command(str(inputs), str(out))) == 0
    assert (out / "reports/report.txt").read_text() == "1 done, 0 warnings, exit code 0"
