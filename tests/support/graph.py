"""How tests run a graph: the local runner named, so that nothing tries to fetch another one."""

from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions


def local_pipeline(**options: Any) -> beam.Pipeline:
    return beam.Pipeline(
        runner="apache_beam.runners.portability.fn_api_runner.FnApiRunner",
        options=PipelineOptions.from_dictionary(options),
    )
