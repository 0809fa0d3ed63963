"""The verdict on a run that came to its end: whether it is a success."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from maskbeam.pipeline.exit_codes import ExitCode
from maskbeam.pipeline.reports.summary_file import InputCounts
from maskbeam.transforms.errors import Code


@dataclass(frozen=True)
class RunVerdict:
    """The command's exit code, and what made it so: too many failures, or predictions that were refused."""

    code: ExitCode
    too_many: bool = False
    refused: bool = False


def judge_run(
    counts: InputCounts,
    warnings: Sequence[str],
    *,
    failures: Mapping[str, int],
    max_failures: str,
    fail_on_degenerate: bool,
) -> RunVerdict:
    """Judges a run by its numbers.

    Args:
        counts: What became of the inputs.
        warnings: What looks wrong about the predictions.
        failures: Number of failures by code.
        max_failures: A count, or a share of the inputs such as `0.1%`.
        fail_on_degenerate: Whether a warning is a failure.
    """
    if not counts.reconciles:
        return RunVerdict(ExitCode.FAILED)
    too_many = counts.failed > allowed_failures(max_failures, counts.inputs)
    unread = failures.get(Code.SHARD_UNREAD, 0) > 0
    refused = bool(warnings) and fail_on_degenerate
    return RunVerdict(ExitCode.TOO_MANY if too_many or refused or unread else ExitCode.DONE, too_many, refused)


def allowed_failures(max_failures: str, inputs: int) -> float:
    """The number of images that may fail."""
    if max_failures.endswith("%"):
        return inputs * float(max_failures[:-1]) / 100
    return int(max_failures)
