from pathlib import Path

import apache_beam as beam
import pytest

from maskbeam.pipeline.runners.execute import ExecutionError, execute
from maskbeam.pipeline.runners.explain import cause_of
from maskbeam.pipeline.storage import Denied
from maskbeam.transforms.errors import RunError


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
