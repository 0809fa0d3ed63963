"""The versions that pyproject.toml allows, those that are pinned, and the lowest, against each other."""

import re
import tomllib
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

PROJECT = tomllib.loads(Path("pyproject.toml").read_text())["project"]
# Tested with nobody's models yet: allowed as it comes.
UNBOUNDED = {"keras-hub"}


def stated() -> dict[str, Requirement]:
    extras = PROJECT["optional-dependencies"].values()
    needs = map(Requirement, chain(PROJECT["dependencies"], *extras))
    found = {canonicalize_name(needed.name): needed for needed in needs}
    return {name: needed for name, needed in found.items() if name not in UNBOUNDED}


def pinned(*files: str) -> dict[str, Version]:
    lines = re.findall(r"^([\w-]+)==(\S+)$", "\n".join(Path(file).read_text() for file in files), re.MULTILINE)
    return {canonicalize_name(name): Version(version) for name, version in lines}


def test_the_lowest_versions_are_the_stated_lower_bounds() -> None:
    bounds = {
        name: Version(bound.version)
        for name, needed in stated().items()
        for bound in needed.specifier
        if bound.operator == ">="
    }
    assert pinned("requirements-lowest.txt") == bounds
    assert set(bounds) == set(stated())


@pytest.mark.parametrize("name", stated())
def test_what_is_pinned_is_allowed(name: str) -> None:
    version = pinned("requirements.txt", "requirements-dev.txt")[name]
    assert version in stated()[name].specifier
