"""The version is said once, in `maskbeam/__init__.py`."""

import re
from pathlib import Path

import pytest
from setuptools.config.pyprojecttoml import read_configuration

from maskbeam import __version__
from maskbeam.pipeline.main import main


def test_what_is_built_takes_it_from_there() -> None:
    assert read_configuration("pyproject.toml")["project"]["version"] == __version__


def test_the_command_says_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"maskbeam {__version__}\n"


def test_no_other_line_of_code_holds_it() -> None:
    files = [Path("pyproject.toml"), Path("setup.py"), *Path("pipeline").rglob("*.py")]
    assert [file for file in files if re.search(rf"\b{re.escape(__version__)}\b", file.read_text())] == []
