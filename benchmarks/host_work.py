"""The job with an engine that returns a constant: what is left is all that maskbeam and Beam do around a model.

python -m benchmarks.host_work SHARDS OUTPUT labels|logits [flags]
"""

import sys
from dataclasses import dataclass, field
from functools import cache, partial

import numpy as np

from maskbeam.pipeline.cli.parser import run_options
from maskbeam.pipeline.commands.demo.sample_input import SAMPLE_MODEL
from maskbeam.pipeline.commands.demo.scenes import draw_scene
from maskbeam.pipeline.job.job import Job
from maskbeam.pipeline.models.files.model_file import ModelFile
from maskbeam.pipeline.models.probing.probe import Probe
from maskbeam.pipeline.options import ModelOptions
from maskbeam.pipeline.run import run
from maskbeam.pipeline.terminal.logs import quiet
from maskbeam.transforms.elements import Array
from maskbeam.transforms.head import Head
from maskbeam.transforms.normalize import Normalization
from maskbeam.transforms.predict import Loader, Scores
from maskbeam.transforms.resampling.prepare import InputSpec

SIDE, CLASSES, BATCH = 128, 3, 16


@dataclass(frozen=True)
class ConstantEngine:
    """Says the same of every image: the classes of one drawn scene."""

    batch_size: int
    logits: Array = field(repr=False)

    def __call__(self, planes: Array) -> Scores:
        count = len(planes)
        logits = np.broadcast_to(self.logits, (count, *self.logits.shape))
        return Scores(logits, np.full(count, 60000 * SIDE * SIDE), np.zeros(count, np.int64))


@cache
def constant_engine(end: str) -> ConstantEngine:
    """The engine for either end of a model: channels uint8 `[128, 128]`, or logits float32 `[128, 128, 3]`."""
    labels = draw_scene(0, SIDE, SIDE)[1].clip(0, CLASSES - 1).astype(np.uint8)
    if end == "labels":
        return ConstantEngine(BATCH, labels)
    noise = np.random.default_rng(0).normal(size=(SIDE, SIDE, CLASSES))
    return ConstantEngine(BATCH, (np.eye(CLASSES)[labels] * 6 + noise).astype(np.float32))


def make_loader(job: Job) -> tuple[Loader, Job]:
    return partial(constant_engine, job.end), job


def find_probe(options: ModelOptions, model: ModelFile) -> Probe:
    size = (SIDE, SIDE)
    head = Head("logits", "channels_last", CLASSES, CLASSES)
    spec = InputSpec(*size, 3, "stretch", options.resize_filter)
    return Probe(spec, Normalization(), "rgb", False, head, size, size, ("a constant",), digest=model.digest)


def main(shards: str, output: str, upsample: str, *flags: str) -> int:
    quiet()
    argv = ["--input", shards, "--model", str(SAMPLE_MODEL), "--output", output, "--upsample", upsample, *flags]
    return run(run_options(argv), find_probe=find_probe, make_loader=make_loader)


if __name__ == "__main__":
    # By its name, so that workers find the engine where it lies.
    from benchmarks.host_work import main as named

    sys.exit(named(*sys.argv[1:]))
