"""Temporary folders of processes that end in one way or another; each test is a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

BEGINS = """
import os, signal, threading
from maskbeam.pipeline.models.files.model_fetch import _cache_folder
from maskbeam.pipeline.output.geotiff.cog import making_cog
from maskbeam.pipeline.output.geotiff.layout import Layout
from maskbeam.pipeline.process.ending import end_early, stopping_on_signals
from maskbeam.pipeline.process.temporary import temporary_folder
"""
WITHIN = """
with stopping_on_signals(), temporary_folder(), making_cog(Layout((40, 50))):
    (_cache_folder() / "model.keras").write_bytes(b"1")
    print(len(os.listdir(os.environ["TMPDIR"])), flush=True)
    {end}
"""
SIGNALLED = "os.kill(os.getpid(), signal.SIGTERM); threading.Event().wait()"


@pytest.mark.parametrize(("end", "code"), [("raise ValueError", 1), ("end_early(4)", 4), (SIGNALLED, 143)])
def test_a_process_takes_its_temporary_folders_with_it(tmp_path: Path, end: str, code: int) -> None:
    argv = [sys.executable, "-c", BEGINS + WITHIN.format(end=end)]
    variables = {"TMPDIR": str(tmp_path), "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=60, env=variables)
    assert (done.returncode, done.stdout) == (code, "3\n"), done.stderr
    assert list(tmp_path.iterdir()) == []
