"""For Beam's `--setup_file`, which ships maskbeam to remote workers; all that it says is in pyproject.toml."""

from setuptools import setup

setup()
