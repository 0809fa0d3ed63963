"""One of Beam's runners, as the rest of this house needs to know it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions, PortableOptions

from maskbeam.pipeline.options import RunOptions
from maskbeam.pipeline.runners.checks import check_key

Flags = Sequence[str]


def check_elsewhere(options: RunOptions) -> None:
    """Checks a job whose workers may be processes of other machines; errors as in `check_key`."""
    if environment_of(options.beam) != "LOOPBACK":
        check_key(options)


def environment_of(flags: Flags) -> str:
    """`--environment_type`, empty where it is not given."""
    return PipelineOptions(list(flags)).view_as(PortableOptions).environment_type or ""


@dataclass(frozen=True, kw_only=True)
class Runner:
    """One of Beam's runners. Each default holds for a runner of which nothing is known.

    A flag of its own needs no more than a subclass of Beam's `PipelineOptions` beside it.

    Attributes:
        names: Of its class, in lower case; Beam takes `flink` for `FlinkRunner`, too. Empty where none is named.
        beam_class: The class that Beam runs for it; empty for the one that the user has named.
        is_local: Whether all of a job is on this machine, and ends with the command.
        in_threads: Says of Beam's flags whether workers are threads of this process.
        defaults: Chooses values, by the name of the flag, that suit Beam's flags; what the user says stands.
        check: Makes sure that the runner is there and that its workers can do the job; raises RunError.
        outlives_command: Says of Beam's flags whether a job may go on when its command has ended.
        hand_over: Says of Beam's flags and of the result that Beam gave where a person finds the job, once its runner
            has it; None where the command waits for its end.
        one_worker: Flags with which a job has a single worker, which ends with it.
        errors: Patterns of its messages, and what each means; `{}` stands for a group.
        quiet: Modules of Beam that speak for it and tell the user nothing.
    """

    names: tuple[str, ...] = ()
    beam_class: str = ""
    is_local: bool = False
    in_threads: Callable[[Flags], bool] = lambda flags: False
    defaults: Callable[[Flags], dict[str, str]] = lambda flags: {}
    check: Callable[[RunOptions], None] = check_elsewhere
    outlives_command: Callable[[Flags], bool] = lambda flags: False
    hand_over: Callable[[Flags, Any], str | None] = lambda flags, result: None
    one_worker: tuple[str, ...] = ()
    errors: tuple[tuple[str, str], ...] = ()
    quiet: tuple[str, ...] = ()
