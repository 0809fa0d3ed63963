"""Batch semantic segmentation with Keras models on Apache Beam.

What scripts may import from here is loaded when it is first asked for: neither Beam nor TensorFlow before that.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from maskbeam.pipeline.options import (
        DecodeOptions,
        LabelOptions,
        ModelOptions,
        OutputOptions,
        ReadOptions,
        RunOptions,
    )
    from maskbeam.pipeline.output.finished import FinishedOutput
    from maskbeam.pipeline.run import run
    from maskbeam.pipeline.verify.verify import verify
    from maskbeam.transforms.errors import RunError

__all__ = [
    "DecodeOptions",
    "FinishedOutput",
    "LabelOptions",
    "ModelOptions",
    "OutputOptions",
    "ReadOptions",
    "RunError",
    "RunOptions",
    "__version__",
    "run",
    "verify",
]

#: The only place that says it: the installed package, `--version`, reports and workers take it from here.
__version__ = "0.1.0"

_OPTIONS = ("DecodeOptions", "LabelOptions", "ModelOptions", "OutputOptions", "ReadOptions", "RunOptions")
_PLACES = {
    **dict.fromkeys(_OPTIONS, "maskbeam.pipeline.options"),
    "FinishedOutput": "maskbeam.pipeline.output.finished",
    "RunError": "maskbeam.transforms.errors",
    "run": "maskbeam.pipeline.run",
    "verify": "maskbeam.pipeline.verify.verify",
}


if not TYPE_CHECKING:
    # Unseen by type checkers, which would take every name for one that is here.
    def __getattr__(name: str) -> object:
        """Loads what is asked for, from the module where it lives."""
        if name not in _PLACES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES})
