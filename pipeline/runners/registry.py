"""The runners that are known, and which of them a job has. A runner is its own file, and its line here."""

from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from maskbeam.pipeline.options import RunOptions
from maskbeam.pipeline.runners.flink import FLINK
from maskbeam.pipeline.runners.local import BUNDLES, LOCAL
from maskbeam.pipeline.runners.portable import PORTABLE
from maskbeam.pipeline.runners.prism import PRISM
from maskbeam.pipeline.runners.runner import Flags, Runner

RUNNERS = [LOCAL, BUNDLES, PORTABLE, FLINK, PRISM]
_UNKNOWN = Runner()


def runner_of(flags: Flags) -> Runner:
    """The runner that Beam's flags name; one with all defaults where it is not known here."""
    name = _name(str(PipelineOptions(list(flags)).view_as(StandardOptions).runner or ""))
    return next((runner for runner in RUNNERS if name in runner.names), _UNKNOWN)


def _name(given: str) -> str:
    # Beam takes a class with its module, and `flink` for `FlinkRunner`, too.
    name = given.rpartition(".")[2].lower()
    return name if not name or name.endswith("runner") else f"{name}runner"


def with_defaults(flags: Flags) -> list[str]:
    """Beam's flags, completed by what suits maskbeam; what the user says stands.

    Raises:
        RunError: What suits cannot be found out.
    """
    chosen = runner_of(flags).defaults(flags)
    given = {flag.partition("=")[0] for flag in flags}
    return [*flags, *(f"--{name}={value}" for name, value in chosen.items() if f"--{name}" not in given)]


def check_runner(options: RunOptions) -> None:
    """Makes sure that a job's runner is there, and that its workers can see the files.

    Args:
        options: With absolute paths.

    Raises:
        RunError: Nobody answers where the runner should be; or workers in containers would read or write files that
            are local to this machine; or workers elsewhere would lack the key of --anonymous_ids.
    """
    runner_of(options.beam).check(options)
