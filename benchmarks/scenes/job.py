"""The job as a user runs it, timed from its first window on; and its model alone on the same windows.

    python -m benchmarks.scenes.job SCENE MODEL OUTPUT alone|- [flags]

With `alone` the model is timed before and after the job, in the same process: the same engine, called by as many
threads, on batches that lie in memory.
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import rasterio

from benchmarks.scenes.cost import Clock, Cost, tell
from benchmarks.scenes.inputs import RANGE, on_scale
from maskbeam.pipeline.cli.parser import run_options
from maskbeam.pipeline.job.job import Job
from maskbeam.pipeline.run import engine_loader, run
from maskbeam.pipeline.terminal.logs import quiet
from maskbeam.transforms.elements import Array, Image, ModelInput, Origin, Region, Source
from maskbeam.transforms.predict import Engine, Loader, Scores
from maskbeam.transforms.tiling.tile import Cutter

# Beside the output: made when the first window reaches the model.
FIRST_WINDOW = "first-window"


class TimedEngine:
    """An engine that knows when it was first called and when its last call ended."""

    def __init__(self, engine: Engine, mark: Path) -> None:
        self.engine, self._mark = engine, mark
        self.batch_size = engine.batch_size
        self.callers: int = getattr(engine, "callers", 1)
        self.first: Clock | None = None
        self.last = Clock()

    def __call__(self, planes: Array) -> Scores:
        if self.first is None:
            self.first = Clock()
            self._mark.touch()
        scores = self.engine(planes)
        self.last = Clock()
        return scores


@cache
def timed_engine(loader: Loader, mark: Path) -> TimedEngine:
    return TimedEngine(loader(), mark)


@dataclass(frozen=True)
class TimedLoader:
    """Gives the timed engine, the same one every time in a process."""

    loader: Loader
    mark: Path

    def __call__(self) -> TimedEngine:
        return timed_engine(self.loader, self.mark)


def batches(scene: Path, cutter: Cutter, count: int) -> list[Array]:
    """The windows of a scene as batches `[count, h, w, C]`, the last one filled up."""
    with rasterio.open(scene) as file:
        pixels = on_scale(file.read()) * np.float32(255)
    size = (pixels.shape[0], pixels.shape[1])
    image = Image(Origin("", Source("", ""), size), Region.whole(size), pixels)
    windows = cutter.windows(image, list(cutter.tiling.layout(size).spans()))
    planes = [window.plane for window in windows if isinstance(window, ModelInput)]
    planes += planes[-1:] * (-len(planes) % count)
    return [np.stack(planes[first : first + count]) for first in range(0, len(planes), count)]


def alone(engine: Engine, windows: list[Array]) -> Cost:
    """What the model alone costs, after a few calls that are not counted."""

    def call(batch: Array) -> None:
        engine(batch)

    with ThreadPoolExecutor(getattr(engine, "callers", 1)) as threads:
        list(threads.map(call, windows[:4]))
        start = Clock()
        list(threads.map(call, windows))
        return Clock().since(start)


class TimedRun:
    """A run of which it is known what it cost, and what its model alone costs."""

    def __init__(self, scene: Path, output: Path, *, with_model: bool) -> None:
        self._scene = scene
        self._mark = output.with_name(FIRST_WINDOW)
        self._with_model = with_model
        self._windows: list[Array] = []
        self._models: list[Cost] = []

    def make_loader(self, job: Job) -> tuple[Loader, Job]:
        loader, job = engine_loader(job)
        self._loader = TimedLoader(loader, self._mark)
        if self._with_model and job.cutter:
            self._windows = batches(self._scene, job.cutter, self._loader().batch_size)
            self._time_model()
        return self._loader, job

    def _time_model(self) -> None:
        if self._windows:
            self._models.append(alone(self._loader().engine, self._windows))

    def tell(self) -> None:
        """Tells it all; to be called when the run has ended."""
        end, engine = Clock(), self._loader()
        if engine.first is None:
            raise RuntimeError("no window has reached the model")
        self._time_model()
        tell(job=end.since(engine.first), after=end.since(engine.last), model=self._models)


def main(scene: str, model: str, output: str, with_model: str, *flags: str) -> int:
    quiet()
    Path(output).with_name(FIRST_WINDOW).unlink(missing_ok=True)
    timed = TimedRun(Path(scene), Path(output), with_model=with_model == "alone")
    fixed = ["--input", scene, "--input_range", "{},{}".format(*RANGE), "--model", model, "--normalize", "0..1"]
    options = run_options([*fixed, "--resize", "tile", "--output", output, *flags])
    code = run(options, make_loader=timed.make_loader)
    if not code:
        timed.tell()
    return code


if __name__ == "__main__":
    # By its name, so that workers find the engine where it lies.
    from benchmarks.scenes.job import main as named

    sys.exit(named(*sys.argv[1:]))
