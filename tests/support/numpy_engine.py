"""A model in plain numpy, so that tests of everything around a model start in no time; also a command of its own.

It says of each pixel which of red, green and blue is the strongest: a function of that pixel alone, so that batches
cannot matter. Planes whose first pixel is one of the colours below misbehave.
"""

import ctypes
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from maskbeam.pipeline.cli.parser import run_options
from maskbeam.pipeline.job.job import Job
from maskbeam.pipeline.models.files.model_file import ModelFile
from maskbeam.pipeline.models.probing.probe import Probe
from maskbeam.pipeline.options import ModelOptions
from maskbeam.pipeline.process.ending import run_as_process
from maskbeam.pipeline.run import MakeLoader, run
from maskbeam.transforms.elements import Array
from maskbeam.transforms.head import Head
from maskbeam.transforms.normalize import Normalization
from maskbeam.transforms.predict import Loader, Scores
from maskbeam.transforms.resampling.prepare import InputSpec

__all__ = ["MODEL", "command", "numpy_loader", "numpy_probe", "run_numpy"]

MODEL = "pipeline/commands/demo/sample_model/unet.keras"
RAISES, NAN, NO_ROOM, HANGS, INFINITE, TAKES_TWO, CRASHES = ((1, 2, n) for n in range(3, 10))
BATCH = 8


@dataclass(frozen=True)
class NumpyEngine:
    """The strongest of three colours; `end` is where the argmax is taken, as in a job."""

    end: str = "logits"
    batch_size: int = BATCH

    def __call__(self, planes: Array) -> Scores:
        logits = planes.astype(np.float32)
        for plane in logits:
            _misbehave(plane, len(planes))
        top = np.nan_to_num(logits.max(-1), posinf=255)
        confidence = np.rint(top / 255 * 65535).astype(np.int64).sum((1, 2))
        nonfinite = np.isnan(logits).any(-1).sum((1, 2))
        return Scores(logits.argmax(-1) if self.end == "labels" else logits, confidence, nonfinite)


def _misbehave(plane: Array, batch: int) -> None:
    first = tuple(plane[0, 0].astype(int))
    if first == RAISES:
        raise ValueError(f"the pixels {plane.ravel()[:3]} are poison")
    if first == NO_ROOM or (first == TAKES_TWO and batch > 2):
        raise MemoryError
    if first == HANGS:
        time.sleep(3600)
    if first == CRASHES:
        ctypes.string_at(0)
    if first in (NAN, INFINITE):
        plane[1, 1] = np.nan if first == NAN else np.inf


@dataclass(frozen=True)
class NumpyLoader:
    """Gives the engine of a job; can be sent to workers."""

    end: str
    batch_size: int = BATCH

    def __call__(self) -> NumpyEngine:
        return NumpyEngine(self.end, self.batch_size)


def numpy_loader(job: Job) -> tuple[Loader, Job]:
    return NumpyLoader(job.end, BATCH), job


def numpy_probe(options: ModelOptions, model: ModelFile) -> Probe:
    """Takes images of any size as they are, or in windows of 16 x 16."""
    tiled = options.resize == "tile"
    return Probe(
        spec=InputSpec(16, 16, 3, "tile", "pillow") if tiled else InputSpec(None, None, 3, "native", "pillow"),
        normalization=Normalization(),
        channel_order=options.channel_order,
        channels_first=False,
        head=Head(options.head or "logits", "channels_last", 3, 3),
        map_size=(16, 16),
        plane_size=(16, 16),
        evidence=("a numpy engine",),
        digest=model.digest,
        versions=(("numpy engine", "1"),),
        engine="numpy",
    )


def command(inputs: str | Sequence[str], output: str, *flags: str) -> list[str]:
    """The command line of a run with this engine."""
    patterns = [inputs] if isinstance(inputs, str) else list(inputs)
    return ["--input", *patterns, "--output", output, "--model", MODEL, *flags]


def run_numpy(argv: Sequence[str], *, make_loader: MakeLoader = numpy_loader) -> int:
    """`maskbeam run` with this engine, or one like it; its exit code."""
    return run(run_options(argv), find_probe=numpy_probe, make_loader=make_loader)


def main(argv: Sequence[str], *, make_loader: MakeLoader = numpy_loader) -> int:
    """The same as a command of its own."""
    from maskbeam.pipeline.terminal.logs import quiet
    from maskbeam.transforms.errors import RunError

    quiet()
    try:
        return run_numpy(argv, make_loader=make_loader)
    except RunError as error:
        sys.stderr.write(f"maskbeam: {error}\n")
        return 2


if __name__ == "__main__":
    # By its name, so that workers find the classes where they lie.
    from tests.support.numpy_engine import main as named

    run_as_process(lambda: named(sys.argv[1:]))
