"""The engine as the rest of this house knows it before there is one: what it needs, what it computes, how it is made.

Each kind is one object in a file of its own, which imports the engine's library only when the engine is made;
`registry.py` lists them.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from maskbeam.pipeline.models.engines.gpu import has_gpu
from maskbeam.pipeline.models.loading.loaded_model import LoadedModel
from maskbeam.pipeline.models.probing.probe import Probe
from maskbeam.transforms.predict import Engine

Load = Callable[[], LoadedModel]


class Use(NamedTuple):
    """All that an engine is made of.

    Attributes:
        load: Loads the model.
        probe: How it is fed, read and run.
        end: `logits` or `labels`, see `make_scoring`.
        threshold: Probability above which a sigmoid's second class is there.
        folder: Where converted models are kept; the user's cache unless told.
        mixed_precision: Whether it may compute in float16; asked of the reference alone.
    """

    load: Load
    probe: Probe
    end: str
    threshold: float = 0.5
    folder: Path | None = None
    mixed_precision: bool = False


class Keeping(NamedTuple):
    """A place on this machine for what was found out about models.

    Attributes:
        folder: Where it lies.
        graph: The version of the graph around a model.
        processor: The kind of this machine's processor.
    """

    folder: Path
    graph: int
    processor: str


@dataclass(frozen=True, kw_only=True, eq=False)
class EngineKind(ABC):
    """A kind of engine. Each default holds for a library that computes on processors, and needs no more to be known.

    Attributes:
        name: Its word for --engine, by which outputs know it.
        title: As people call it.
        merit: What it is good for, as `is faster for some models`.
        module: What can be imported where it is installed; empty where it comes with maskbeam.
        install: The command that installs it.
        packages: Those on whose versions its labels depend, beside the ones that loaded the model; its own first.
        device: What it computes on.
        errors: What it raises for a model that it cannot run.
    """

    name: str
    title: str
    merit: str = ""
    module: str = ""
    install: str = ""
    packages: tuple[str, ...] = ()
    device: str = "processors"
    errors: tuple[type[Exception], ...] = (RuntimeError,)

    @property
    def is_installed(self) -> bool:
        """True where it can be made."""
        return not self.module or find_spec(self.module) is not None

    @property
    def versions(self) -> tuple[tuple[str, str], ...]:
        """The versions of its packages, by name."""
        return tuple((package, version(package)) for package in self.packages)

    def unfit_here(self) -> str | None:
        """The reason against it on this machine where nobody has named it; None if there is none."""
        return "there is a GPU" if has_gpu() else None

    def cannot(self, use: Use) -> str | None:
        """The part of this model or its head that it cannot compute, known without a try; None if it is worth one."""
        return None

    def keeping(self) -> Keeping | None:
        """Where probes are kept for later jobs; None for an engine that loads the model in any case."""
        return None

    @abstractmethod
    def make(self, use: Use) -> Engine:
        """Makes the engine.

        Raises:
            Exception: One of `errors`, in the main, for a model that it cannot run.
        """
