"""The settings of engines that are ours to make, in one place, and what can be known to be wrong with an engine.

Whatever the user says stands; these are the values of flags that were not given.
"""

import argparse
import json
import socket
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from apache_beam.options.pipeline_options import (
    FlinkRunnerOptions,
    PipelineOptions,
    PortableOptions,
    StandardOptions,
)

from maskbeam.pipeline.inputs.anonymous import KEY_VARIABLE, naming
from maskbeam.pipeline.options import RunOptions
from maskbeam.pipeline.storage import is_gcs
from maskbeam.transforms.errors import RunError

# Without it an engine starts and stops a worker for each stage. It bridges the moment between two stages, and must be
# shorter than Flink's restart delay: until it is over, a job that begins again would be given the worker that died.
KEEP_WORKERS_MILLIS = 5_000
_REMOTE = ("flinkrunner", "portablerunner")
# Their workers are threads or children of this process.
_HERE = ("", "directrunner", "fnapirunner", "bundlebaseddirectrunner")
_SECONDS = 10.0


class JobServerOptions(PipelineOptions):
    """Flags that Beam's job server for Flink knows and Beam's Python does not, so that they are not refused here."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--max_bundle_size", type=int, help="elements of a bundle, with --streaming")
        parser.add_argument("--max_bundle_time_mills", type=int, help="milliseconds of a bundle, with --streaming")
        parser.add_argument("--number_of_execution_retries", type=int, help="how often Flink begins a job again")


def with_defaults(flags: Sequence[str]) -> list[str]:
    """Beam's flags, completed by what suits maskbeam.

    Args:
        flags: As the user gave them.
    """
    options = PipelineOptions(list(flags))
    chosen = {}
    runner = runner_of(options)
    if runner in _REMOTE:
        chosen["environment_cache_millis"] = str(KEEP_WORKERS_MILLIS)
    if runner == "flinkrunner" and _flink_master(options) and options.view_as(FlinkRunnerOptions).parallelism < 1:
        chosen["parallelism"] = str(_slots(_flink_master(options)))
    if runner == "prismrunner":
        # Its news are for those who work on it.
        chosen["prism_log_level"] = "error"
    given = {flag.partition("=")[0] for flag in flags}
    return [*flags, *(f"--{name}={value}" for name, value in chosen.items() if f"--{name}" not in given)]


def may_go_on_alone(flags: Sequence[str]) -> bool:
    """Whether a job may go on when its command has ended: it is a cluster's, and so are its workers."""
    options = PipelineOptions(list(flags))
    return runner_of(options) in _REMOTE and options.view_as(PortableOptions).environment_type != "LOOPBACK"


def check_engine(options: RunOptions) -> None:
    """Makes sure that an engine is there, and that its workers can see the files.

    Args:
        options: With absolute paths.

    Raises:
        RunError: Nobody answers at the address of the job server or of Flink; or workers in containers would read or
            write files that are local to this machine; or workers elsewhere would lack the key of --anonymous_ids.
    """
    beam = PipelineOptions(list(options.beam))
    runner, portable = runner_of(beam), beam.view_as(PortableOptions)
    # Beam's own default is a container, but for engines that it starts by itself.
    own_flink = runner == "flinkrunner" and not _flink_master(beam)
    by_default = portable.environment_type is None and (own_flink or runner == "prismrunner")
    if runner not in _HERE and portable.environment_type != "LOOPBACK" and not by_default:
        _check_key(options)
    if runner not in _REMOTE:
        return
    if portable.environment_type == "DOCKER" or (portable.environment_type is None and not own_flink):
        _check_shared(options)
    if portable.job_endpoint == "embed":
        return
    if portable.job_endpoint:
        _check_answers(
            "--job_endpoint", portable.job_endpoint, "Beam's job server", "start it there (docs/cluster.md says how)"
        )
    elif runner == "portablerunner":
        raise RunError("--runner=PortableRunner needs --job_endpoint=HOST:PORT, the address of Beam's job server")
    if runner == "flinkrunner" and _flink_master(beam):
        ask_flink(_flink_master(beam), "/overview")


def ask_flink(master: str, path: str) -> dict[str, Any]:
    """What Flink's REST interface answers.

    Args:
        master: As in `--flink_master`, `HOST:PORT` with or without `http://`.
        path: Which question, as `/overview`.

    Raises:
        RunError: Nobody answers, or not as Flink does.
    """
    url = master if master.startswith(("http://", "https://")) else f"http://{master}"
    with suppress(OSError, ValueError), urllib.request.urlopen(url + path, timeout=_SECONDS) as answer:  # noqa: S310
        return dict(json.load(answer))
    raise RunError(
        f"--flink_master {master}: no Flink answers there; give the address of the JobManager's REST interface "
        "(HOST:8081 unless configured otherwise)"
    )


def runner_of(options: PipelineOptions) -> str:
    """The engine's class in lower case, empty where none is named; Beam takes `flink` for `FlinkRunner`, too."""
    name = str(options.view_as(StandardOptions).runner or "").rpartition(".")[2].lower()
    return name if not name or name.endswith("runner") else f"{name}runner"


def _flink_master(options: PipelineOptions) -> str:
    master = str(options.view_as(FlinkRunnerOptions).flink_master or "").strip()
    return "" if master in ("[auto]", "[local]", "[collection]") else master


def _slots(master: str) -> int:
    # Beam's own default is one subtask, on a cluster of any size.
    slots = int(ask_flink(master, "/overview").get("slots-total", 0))
    if slots < 1:
        raise RunError(f"--flink_master {master} has no slots yet; say how many to ask for with --parallelism")
    return slots


def _check_key(options: RunOptions) -> None:
    """Refuses a key that is in this process's environment alone: workers would have to be sent it."""
    if options.output.anonymous_ids and not naming(anonymous=True).key_file:
        raise RunError(
            f"{KEY_VARIABLE} is the key itself, which workers elsewhere do not have, and which must not be in the "
            "job that is sent to them: write it into a file that only you and they can read, and say where that is: "
            f"{KEY_VARIABLE}=@/path/on/a/shared/disk or {KEY_VARIABLE}=@gs://bucket/file"
        )


def _check_shared(options: RunOptions) -> None:
    named = {"--output": options.output.path, "--model": options.model.path}
    if key_file := naming(anonymous=options.output.anonymous_ids).key_file:
        named[KEY_VARIABLE] = key_file
    local = [(flag, path) for flag, path in named.items() if not is_gcs(path)]
    local += [("--input", pattern) for pattern in options.read.patterns if not is_gcs(pattern)]
    for flag, path in local:
        raise RunError(
            f"{flag} {path} is on a disk of this machine, which workers in containers (--environment_type=DOCKER, "
            "the default) do not see: use gs://, or workers that share the disk with --environment_type=EXTERNAL "
            "or PROCESS"
        )


def _check_answers(flag: str, address: str, who: str, remedy: str) -> None:
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise RunError(f"{flag} {address} is not an address such as localhost:8099")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_SECONDS).close()
    except OSError as error:
        raise RunError(
            f"{flag} {address}: {who} does not answer there ({error.strerror or error}); {remedy}"
        ) from None
