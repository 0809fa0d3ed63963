"""Any cluster behind Beam's job server, named by its address: `--runner=PortableRunner --job_endpoint=...`."""

from apache_beam.options.pipeline_options import PipelineOptions, PortableOptions

from maskbeam.pipeline.options import RunOptions
from maskbeam.pipeline.runners.checks import check_answers, check_key, check_shared
from maskbeam.pipeline.runners.runner import Flags, Runner, environment_of
from maskbeam.transforms.errors import RunError

# Without it a cluster starts and stops a worker for each stage. It bridges the moment between two stages, and must be
# shorter than Flink's restart delay: until it is over, a job that begins again would be given the worker that died.
KEEP_WORKERS_MILLIS = 5_000
# With more subtasks a cluster would start a worker for each. One that is kept would hold its memory while those that
# do the work begin.
ONE_WORKER = ("--parallelism=1", "--environment_cache_millis=0")
# Of the job server's Java, in whose pages the cluster's stand.
ERRORS = (
    (
        r"Cannot run program \"docker\"",
        "the runner's machines have no Docker: name another way to start workers with --environment_type",
    ),
    (
        # All that a job server hands on of it.
        r"ConnectException: finishConnect\(..\) failed: Connection refused",
        "the runner's machines could not start Python workers: is an SDK worker pool beside each of them, and does "
        "--environment_config name its port?",
    ),
    (
        # A worker that cannot set up its steps says nothing; the runner waits for it.
        r"TimeoutException: Waited \d+ minutes .*Future",
        "the workers were started and said nothing: do they have maskbeam, and the same packages as here? Their own "
        "logs tell more",
    ),
)


def keep_workers(flags: Flags) -> dict[str, str]:
    """Defaults that have a worker outlive the moment between two stages."""
    return {"environment_cache_millis": str(KEEP_WORKERS_MILLIS)}


def may_go_on_alone(flags: Flags) -> bool:
    """True if a job may go on when its command has ended: it is a cluster's, and so are its workers."""
    return environment_of(flags) != "LOOPBACK"


def endpoint_of(flags: Flags) -> str:
    """`--job_endpoint`, empty where it is not given."""
    return PipelineOptions(list(flags)).view_as(PortableOptions).job_endpoint or ""


def check_workers(options: RunOptions) -> None:
    """Makes sure that a cluster's workers can see the files, and the key of --anonymous_ids.

    Raises:
        RunError: They cannot.
    """
    environment = environment_of(options.beam)
    if environment != "LOOPBACK":
        check_key(options)
    # Beam's own default is a container.
    if environment in ("", "DOCKER"):
        check_shared(options)


def check_job_server(endpoint: str) -> None:
    """Makes sure that Beam's job server is there, unless Beam starts it for this job.

    Raises:
        RunError: Nobody answers at its address.
    """
    if endpoint not in ("", "embed"):
        check_answers("--job_endpoint", endpoint, "Beam's job server", "start it there (docs/cluster.md says how)")


def _check(options: RunOptions) -> None:
    check_workers(options)
    endpoint = endpoint_of(options.beam)
    if not endpoint:
        raise RunError("--runner=PortableRunner needs --job_endpoint=HOST:PORT, the address of Beam's job server")
    check_job_server(endpoint)


PORTABLE = Runner(
    names=("portablerunner",),
    defaults=keep_workers,
    check=_check,
    outlives_command=may_go_on_alone,
    one_worker=ONE_WORKER,
    errors=ERRORS,
    # Says what the job server's Java says.
    quiet=("portable_runner",),
)
