import signal
import subprocess
import sys
from pathlib import Path

import apache_beam as beam
import pytest

from pipeline.causes import cause_of
from pipeline.execute import ExecutionError, execute, stopping_on_signals
from pipeline.storage import Denied
from transforms.errors import RunError


def build(error: Exception | None):  # type: ignore[no-untyped-def]
    def raise_it(_: object) -> None:
        if error:
            raise error

    return lambda root: root | beam.Create([1]) | beam.Map(raise_it)


def test_a_run_that_ends_well_says_nothing(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    def build_all(root: beam.Pipeline) -> object:
        return build(None)(root) | beam.Map(lambda _: (tmp_path / "done").touch())

    execute([], build_all)
    assert (tmp_path / "done").exists()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "error", [RunError("the disk is full; free some space"), Denied("the disk is full; free some space")]
)
def test_our_own_error_comes_out_as_it_was_said(error: Exception) -> None:
    with pytest.raises(ExecutionError) as raised:
        execute(["--runner=DirectRunner"], build(error))
    assert str(raised.value) == "the disk is full; free some space"


def test_any_other_error_is_its_last_line() -> None:
    with pytest.raises(ExecutionError, match="odd number") as raised:
        execute([], build(ValueError("odd number")))
    assert "Traceback" not in str(raised.value)


def test_the_cause_of_a_bare_error_is_its_kind() -> None:
    assert cause_of(ValueError()) == "ValueError"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_process_with_its_code_and_a_line_that_helps(number: int, code: int) -> None:
    script = (
        "import os, time, sys\n"
        "from pipeline.execute import stopping_on_signals\n"
        "with stopping_on_signals(print, lambda: print('cleaned')):\n"
        f"    os.kill(os.getpid(), {number})\n"
        "    time.sleep(60)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == code
    assert "the same command goes on" in done.stdout
    assert "cleaned" in done.stdout


@pytest.mark.parametrize("goes_on", [False, True])
def test_a_signal_says_what_becomes_of_a_job_that_goes_on(
    goes_on: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ended: list[int] = []
    monkeypatch.setattr("os._exit", ended.append)
    with stopping_on_signals(print, lambda: None, goes_on=goes_on):
        signal.raise_signal(signal.SIGINT)
    assert ended == [130]
    said = capsys.readouterr().out
    assert said.startswith("stopped by SIGINT; ")
    assert ("refused until a minute after the job has ended" in said) == goes_on
    assert ("goes on where this one stopped" in said) != goes_on
