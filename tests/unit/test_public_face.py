"""The names that `import maskbeam` gives, and that importing it alone costs nothing."""

import subprocess
import sys
from pathlib import Path
from typing import assert_type

import pytest

import maskbeam
from maskbeam.pipeline.options import RunOptions
from maskbeam.pipeline.output.finished import FinishedOutput
from maskbeam.pipeline.run import run
from maskbeam.pipeline.verify.verify import verify
from maskbeam.transforms.errors import RunError


def test_names_are_those_of_the_modules_where_they_live() -> None:
    assert (maskbeam.run, maskbeam.RunOptions, maskbeam.verify) == (run, RunOptions, verify)
    assert (maskbeam.RunError, maskbeam.FinishedOutput) == (RunError, FinishedOutput)


def as_a_script_uses_them(options: maskbeam.RunOptions) -> int:
    """Read by mypy alone, which refuses it unless it knows the types."""
    assert_type(options, RunOptions)
    assert_type(maskbeam.FinishedOutput.open(options.output.path), FinishedOutput)
    return assert_type(maskbeam.run(options), int) + assert_type(maskbeam.verify(options.output.path), int)


def test_type_checkers_are_told_that_there_are_types() -> None:
    assert Path("maskbeam/py.typed").exists()
    assert as_a_script_uses_them.__annotations__["options"] is RunOptions


@pytest.mark.parametrize("name", sorted({*maskbeam.__all__} - {"__version__"}))
def test_every_name_is_listed_and_there(name: str) -> None:
    assert name in dir(maskbeam)
    assert getattr(maskbeam, name).__name__ == name


def test_another_name_is_an_error_as_ever() -> None:
    with pytest.raises(AttributeError, match="module 'maskbeam' has no attribute 'segment'"):
        maskbeam.segment  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize("then", ["maskbeam.__version__", "maskbeam.RunOptions()"])
def test_nothing_heavy_is_imported(then: str) -> None:
    program = f"import sys, maskbeam; {then}; print(*sorted(name for name in sys.modules if '.' not in name))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "maskbeam" in done.stdout.split()
    assert not {"apache_beam", "keras", "numpy", "tensorflow", "tf_keras"} & set(done.stdout.split())
