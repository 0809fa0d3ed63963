"""A source distribution and a wheel of the tree, and an environment that has the wheel and what it needs alone."""

import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

#: What stands beside the package in a source distribution, and is needed to build it.
BUILD = ("LICENSE", "MANIFEST.in", "README.md", "pyproject.toml", "setup.py")
PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made as Beam makes it for `--setup_file`, of a copy: what earlier builds have left here would go into it."""
    folder = tmp_path_factory.mktemp("source")
    for name in BUILD:
        shutil.copy(name, folder)
    for name in ("maskbeam", "pipeline", "transforms"):
        shutil.copytree(name, folder / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run([sys.executable, "setup.py", "-q", "sdist", "--dist-dir", "dist"], cwd=folder, check=True)
    (made,) = (folder / "dist").iterdir()
    return made


@pytest.fixture(scope="session")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made of the source distribution, and so of nothing else."""
    folder = tmp_path_factory.mktemp("wheel")
    words = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(source)]
    subprocess.run([*PIP, *words], check=True)
    (made,) = folder.iterdir()
    return made


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of an environment into which pip has installed the wheel, with what it says it needs."""
    folder = tmp_path_factory.mktemp("environment")
    pinned = next(line for line in Path("requirements.txt").read_text().splitlines() if line.startswith("six=="))
    fetched = subprocess.run([*PIP, "download", "--no-deps", "--dest", str(folder), pinned], check=False)
    if fetched.returncode:
        pytest.skip("the wheel was not installed into an empty environment: pip can fetch no package here")
    venv.create(folder / "venv", with_pip=True)
    programs = folder / "venv/bin"
    words = [str(programs / "python"), *PIP[1:], "install", "--constraint", "requirements.txt", str(wheel)]
    subprocess.run(words, check=True)
    return programs
