"""Runners that need no service: all of a job is in this process, or in children of it."""

from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions

from maskbeam.pipeline.options import RunOptions
from maskbeam.pipeline.runners.runner import Flags, Runner


def _in_threads(flags: Flags) -> bool:
    return str(PipelineOptions(list(flags)).view_as(DirectOptions).direct_running_mode) != "multi_processing"


def _nothing_to_check(options: RunOptions) -> None:
    pass


# Beam's own name `DirectRunner` first tries to download another runner; this is the one it falls back to.
LOCAL = Runner(
    names=("", "directrunner", "fnapirunner"),
    beam_class="apache_beam.runners.portability.fn_api_runner.FnApiRunner",
    is_local=True,
    in_threads=_in_threads,
    check=_nothing_to_check,
)
# Beam's older local runner.
BUNDLES = Runner(names=("bundlebaseddirectrunner",), check=_nothing_to_check)
