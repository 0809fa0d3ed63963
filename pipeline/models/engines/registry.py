"""The engines that are known: one line for each. Whoever asks what can run a model asks here.

An engine's module is imported when somebody asks for the engine: its name alone, which `--help` shows, needs none.
"""

from collections import ChainMap
from collections.abc import Collection
from importlib import import_module
from typing import TYPE_CHECKING, Final

from maskbeam.transforms.errors import RunError

if TYPE_CHECKING:
    from maskbeam.pipeline.models.engines.engine_kind import EngineKind

# The module of each, whose `ENGINE` it is, in the order in which they are tried and people are told of them.
MODULES = {
    "tensorflow": "maskbeam.pipeline.models.engines.tensorflow_kind",
    "openvino": "maskbeam.pipeline.models.engines.openvino_kind",
}
#: Runs all models; the labels of the others are held against its labels.
REFERENCE: Final = "tensorflow"
#: Stands for the first of the others that is there, of use and right, or else for the reference.
AUTO: Final = "auto"
#: The words that choose one, those included that are registered later.
WORDS: Collection[str] = ChainMap(MODULES, {AUTO: ""})


def engine_kind(name: str) -> "EngineKind":
    """One by its name.

    Raises:
        RunError: There is none of this name.
    """
    if name not in MODULES:
        raise RunError(
            f"this maskbeam has no engine {name!r}, but {' and '.join(MODULES)}: name one of these with --engine, or "
            "use the maskbeam with which this output was begun"
        )
    found: EngineKind = import_module(MODULES[name]).ENGINE
    return found


def candidates(asked: str) -> "list[EngineKind]":
    """Those that may run a model in place of the reference, in the order in which they are tried.

    Args:
        asked: A name, or `auto` for all.

    Raises:
        RunError: There is none of this name.
    """
    names = MODULES if asked == AUTO else (asked,)
    return [engine_kind(name) for name in names if name != REFERENCE]
