"""A twentieth of `make soak`, from a seed, and three deaths of a run with the real model."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from soak.__main__ import PARTS, soak
from tests.support.trees import differing, draw_folder, tree_of

MODEL = "pipeline/commands/demo/sample_model/unet.keras"
IMAGES = 60
TELLS = (
    "import sys; from maskbeam.pipeline.main import main; code = main(sys.argv[1:]);"
    "print('tensorflow' in sys.modules, 'keras' in sys.modules); sys.exit(code)"
)


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
def test_a_seeded_twentieth_of_the_soak_tests(part: str, tmp_path: Path) -> None:
    soak([part], share=0.05, seed=2026, folder=tmp_path)


def argv_of(inputs: Path, out: Path) -> list[str]:
    return ["run", "--input", str(inputs), "--output", str(out), "--model", MODEL, "--engine", "tensorflow"]


def die_after(masks: int, argv: list[str], out: Path) -> None:
    """Kills a run once that many masks are there."""
    with subprocess.Popen(
        [sys.executable, "-m", "maskbeam.pipeline.main", *argv], stderr=subprocess.DEVNULL
    ) as child:
        until = time.monotonic() + 200
        while child.poll() is None and time.monotonic() < until:
            if (out / "masks").is_dir() and len(os.listdir(out / "masks")) >= masks:
                break
            time.sleep(0.002)
        child.send_signal(signal.SIGKILL)


@pytest.mark.slow
def test_three_deaths_of_a_run_with_the_real_model_change_nothing(tmp_path: Path) -> None:
    inputs, out = draw_folder(tmp_path / "in", IMAGES, (96, 128)), tmp_path / "out"
    for masks in (1, 13, 40):
        die_after(masks, argv_of(inputs, out), out)
        assert not (out / "_SUCCESS").exists()
    for folder in (out, tmp_path / "whole"):
        subprocess.run(
            [sys.executable, "-m", "maskbeam.pipeline.main", *argv_of(inputs, folder)], check=True, timeout=280
        )
    assert differing(tree_of(tmp_path / "whole"), tree_of(out)) == []
    again = subprocess.run([sys.executable, "-c", TELLS, *argv_of(inputs, out)], capture_output=True, check=True)
    assert again.stdout.split()[-2:] == [b"False", b"False"], (
        "a run that had nothing to do imported the model's library"
    )
