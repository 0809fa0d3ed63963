"""Prism, Beam's runner in Go, which Beam's Python starts by itself: no cluster is needed."""

from maskbeam.pipeline.options import RunOptions
from maskbeam.pipeline.runners.checks import check_key
from maskbeam.pipeline.runners.runner import Flags, Runner, environment_of


def _defaults(flags: Flags) -> dict[str, str]:
    # What it says at other levels is for those who work on it.
    return {"prism_log_level": "error"}


def _check(options: RunOptions) -> None:
    # Where nothing else is said, workers are of this process: unlike those of other portable runners.
    if environment_of(options.beam) not in ("", "LOOPBACK"):
        check_key(options)


PRISM = Runner(names=("prismrunner",), defaults=_defaults, check=_check)
