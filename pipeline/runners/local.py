"""The runner whose workers are threads of this process."""

from collections.abc import Sequence

from apache_beam.options.pipeline_options import PipelineOptions

from maskbeam.pipeline.runners.flink import runner_of

# Beam's own name `DirectRunner` first tries to download another runner; this is the one it falls back to.
LOCAL_RUNNER = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"


def is_local(flags: Sequence[str]) -> bool:
    """Whether the run's workers are threads of this process."""
    return runner_of(PipelineOptions(list(flags))) in ("", "directrunner", "fnapirunner")
