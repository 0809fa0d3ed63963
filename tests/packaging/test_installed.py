"""The wheel alone, in an environment of its own, beside a user's modules that are called as folders here are."""

import os
import subprocess
from pathlib import Path

import pytest

from maskbeam import __version__

pytestmark = pytest.mark.timeout(1200)  # pip fetches a gigabyte
LAYERS = "def scale(x):\n    return x\n"


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's own folder, with modules that would hide ours if those were called so."""
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "transforms").mkdir()
    (folder / "transforms/__init__.py").write_text("")
    (folder / "transforms/layers.py").write_text(LAYERS)
    (folder / "pipeline.py").write_text(LAYERS)
    return folder


def maskbeam(programs: Path, folder: Path, *words: str) -> str:
    """What the command says, started in a folder that is on PYTHONPATH; it must end well."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    variables = {**kept, "PYTHONPATH": str(folder), "XDG_CACHE_HOME": str(folder / "cache")}
    program = str(programs / "maskbeam")
    done = subprocess.run([program, *words], cwd=folder, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def demo(installed: Path, elsewhere: Path) -> Path:
    assert maskbeam(installed, elsewhere, "demo").count("Done.") == 1
    return elsewhere / "demo"


def test_the_command_is_there_and_says_its_version(installed: Path, elsewhere: Path) -> None:
    assert maskbeam(installed, elsewhere, "--version") == f"maskbeam {__version__}\n"


def test_the_demo_s_output_is_finished_and_sound(installed: Path, elsewhere: Path, demo: Path) -> None:
    assert (demo / "result/_SUCCESS").exists()
    maskbeam(installed, elsewhere, "verify", str(demo / "result"))


def test_a_user_s_modules_are_found_under_their_own_names(installed: Path, elsewhere: Path, demo: Path) -> None:
    (model,) = installed.parent.glob("lib/*/site-packages/maskbeam/pipeline/commands/demo/sample_model/unet.keras")
    words = ["--input", str(demo / "input"), "--model", str(model), "--output", "out", "--limit", "2"]
    own = ["--trust_model", "--custom_objects", "transforms.layers,pipeline"]
    assert "2 of 2 inputs done" in maskbeam(installed, elsewhere, "run", *words, *own)
