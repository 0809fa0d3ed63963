"""The pace at which this machine computes windows of a scene: a few are, before a run."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import cycle, islice

from maskbeam.pipeline.inputs.scenes import Scenes, rules_of
from maskbeam.pipeline.job.job import Job
from maskbeam.pipeline.job.scene_sizes import Rate, sampled_scenes
from maskbeam.pipeline.process.watchdog import step
from maskbeam.transforms.augment import augmented
from maskbeam.transforms.elements import LogitsBatch, ModelInput, Window
from maskbeam.transforms.errors import ImageError
from maskbeam.transforms.predict import Engine, Loader, callers_of, model_threads, predict
from maskbeam.transforms.resampling.prepare import InputSpec
from maskbeam.transforms.tiling.layout import Layout, Tiling
from maskbeam.transforms.tiling.tile import Read, cut

# A few seconds tell it to some percent.
_SECONDS = 3.0
# Windows that are read at most: a scene may have hardly any data.
_MOST = 1024


def window_rate(
    job: Job, tiling: Tiling, loader: Loader, *, clock: Callable[[], float] = time.monotonic
) -> Rate | None:
    """Reads and computes windows of a scene for some seconds.

    Args:
        job: The job.
        tiling: How its scenes are cut.
        loader: Makes the engine.
        clock: Seconds, from any start.

    Returns:
        None where that was not to be found out: no scene can be read, or the model fails on it.
    """
    scene = next(sampled_scenes(job), None)
    if scene is None:
        return None
    scenes = Scenes(rules_of(job.options), job.probe.spec.channels, tiling, job.names, job.aoi)
    try:
        with scenes.opened(scene.origin) as raster:
            origin = replace(scene.origin, size=raster.size, grid=raster.grid)
        engine = augmented(loader, job.options.tile.tta, job.probe.head.kind)()
        with scenes.reading(origin) as read, step("tried out"):
            return measured(_windows(read, tiling.layout(origin.size), job.probe.spec), engine, clock)
    except ImageError:
        return None


def measured(windows: Iterator[ModelInput], engine: Engine, clock: Callable[[], float]) -> Rate | None:
    """The rate of windows in full batches, without the first ones, in which a model is compiled; None: too few."""
    callers, done, began = callers_of(engine), 0, None
    while len(some := list(islice(windows, callers * engine.batch_size))) == callers * engine.batch_size:
        if not _compute(some, engine, callers):
            return None
        if began is None:
            began = clock()
            continue
        done += len(some)
        if clock() - began >= _SECONDS:
            break
    return Rate(done, clock() - began) if began is not None and done else None


def _compute(windows: Sequence[ModelInput], engine: Engine, callers: int) -> bool:
    """Calls the engine as a run does; whether it failed on none."""

    def call(images: list[ModelInput]) -> bool:
        found = predict(images, engine, limit=engine.batch_size)
        return all(isinstance(each, LogitsBatch) for each in found)

    return all(model_threads(callers).map(call, [list(windows[number::callers]) for number in range(callers)]))


def _windows(read: Read, layout: Layout, spec: InputSpec) -> Iterator[ModelInput]:
    """Windows of a scene that have data, from its middle on, again and again."""
    spans = list(layout.spans())
    regions = layout.windows_of(spans[len(spans) // 2])
    middle = len(regions) // 2
    for region in islice(cycle([*regions[middle:], *regions[:middle]]), _MOST):
        window = cut(read(region), region, spec, Window((0, 0), 0, _MOST))
        if isinstance(window, ModelInput):
            yield window
