"""The process's engines: each is loaded once, by whoever needs it first, and kept."""

import socket
import threading
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from maskbeam.pipeline.models.loading.loaded_model import LoadedModel, load, open_model
from maskbeam.pipeline.models.probing.probe import Probe, other_versions
from maskbeam.pipeline.options import ModelOptions
from maskbeam.transforms.errors import RunError
from maskbeam.transforms.predict import Engine

_lock = threading.RLock()


def loaded_model(options: ModelOptions, digest: str) -> LoadedModel:
    """The model in this process's memory; loaded when first asked for.

    Raises:
        RunError: The file is not the one that the run was planned with, or cannot be loaded.
    """
    with _lock:
        return _load(options, digest)


@cache
def _load(options: ModelOptions, digest: str) -> LoadedModel:
    try:
        file = open_model(options)
    except RunError as error:
        # It was there when the command looked, so that it matters where it is not.
        # Of a chain of errors it is the first that a runner's pages are searched for.
        raise RunError(f"{error} (on {socket.gethostname()})") from None
    if file.digest != digest:
        raise RunError(
            f"--model {options.path} on {socket.gethostname()} is not the file that this run began with: give all "
            "workers the same one, and start the run again"
        )
    return load(file, options)


@dataclass(frozen=True)
class EngineLoader:
    """Gives the engine of a job; the same object every time in one process. Small enough to be sent to workers."""

    options: ModelOptions
    probe: Probe
    end: str
    threshold: float

    def __call__(self) -> Engine:
        return self.started()[0]

    def started(self) -> tuple[Engine, Probe]:
        """The engine, and the probe with the batch size that suits this machine."""
        with _lock:
            return _start(self)


@cache
def _start(loader: EngineLoader) -> tuple[Any, Probe]:
    from maskbeam.pipeline.models.engines.choose_engine import start_engine

    if others := other_versions(loader.probe):
        raise RunError(
            f"{socket.gethostname()} has {', '.join(others)}, with which this output was begun: install the same "
            "everywhere, or do everything again with --overwrite"
        )
    load = partial(loaded_model, loader.options, loader.probe.digest)
    mixed = loader.options.mixed_precision
    return start_engine(load, loader.probe, end=loader.end, threshold=loader.threshold, mixed_precision=mixed)
