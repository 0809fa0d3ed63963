"""Flink by its own address, `--runner=FlinkRunner --flink_master=...`; and the errors of Flink, however reached."""

import argparse
import json
import urllib.request
from contextlib import suppress
from typing import Any

from apache_beam.options.pipeline_options import FlinkRunnerOptions, PipelineOptions

from maskbeam.pipeline.options import RunOptions
from maskbeam.pipeline.runners.checks import SECONDS
from maskbeam.pipeline.runners.portable import (
    ONE_WORKER,
    check_job_server,
    check_workers,
    endpoint_of,
    keep_workers,
    may_go_on_alone,
)
from maskbeam.pipeline.runners.runner import Flags, Runner, environment_of
from maskbeam.transforms.errors import RunError


class JobServerOptions(PipelineOptions):
    """Flags that Beam's job server for Flink knows and Beam's Python does not, so that they are not refused here."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--max_bundle_size", type=int, help="elements of a bundle, with --streaming")
        parser.add_argument("--max_bundle_time_mills", type=int, help="milliseconds of a bundle, with --streaming")
        parser.add_argument("--number_of_execution_retries", type=int, help="how often Flink begins a job again")


def ask_flink(master: str, path: str) -> dict[str, Any]:
    """The answer of Flink's REST interface.

    Args:
        master: As in `--flink_master`, `HOST:PORT` with or without `http://`.
        path: Which question, as `/overview`.

    Raises:
        RunError: Nobody answers, or not as Flink does.
    """
    url = master if master.startswith(("http://", "https://")) else f"http://{master}"
    with suppress(OSError, ValueError), urllib.request.urlopen(url + path, timeout=SECONDS) as answer:  # noqa: S310
        return dict(json.load(answer))
    raise RunError(
        f"--flink_master {master}: no Flink answers there; give the address of the JobManager's REST interface "
        "(HOST:8081 unless configured otherwise)"
    )


def _options(flags: Flags) -> FlinkRunnerOptions:
    return PipelineOptions(list(flags)).view_as(FlinkRunnerOptions)


def _master(flags: Flags) -> str:
    """The address of a Flink that is there already; empty where Beam starts one."""
    master = str(_options(flags).flink_master or "").strip()
    return "" if master in ("[auto]", "[local]", "[collection]") else master


def _defaults(flags: Flags) -> dict[str, str]:
    master, chosen = _master(flags), keep_workers(flags)
    if master and _options(flags).parallelism < 1:
        chosen["parallelism"] = str(_slots(master))
    return chosen


def _slots(master: str) -> int:
    # Beam's own default is one subtask, on a cluster of any size.
    slots = int(ask_flink(master, "/overview").get("slots-total", 0))
    if slots < 1:
        raise RunError(f"--flink_master {master} has no slots yet; say how many to ask for with --parallelism")
    return slots


def _check(options: RunOptions) -> None:
    master, endpoint = _master(options.beam), endpoint_of(options.beam)
    # Workers of a Flink that Beam starts are of this machine unless it is told otherwise.
    if master or environment_of(options.beam):
        check_workers(options)
    check_job_server(endpoint)
    if master and endpoint != "embed":
        ask_flink(master, "/overview")


FLINK = Runner(
    names=("flinkrunner",),
    defaults=_defaults,
    check=_check,
    outlives_command=may_go_on_alone,
    one_worker=ONE_WORKER,
    errors=(
        (
            r"NoResourceAvailableException",
            "Flink has fewer free slots than --parallelism asks for: ask for fewer, or add TaskManagers",
        ),
    ),
)
