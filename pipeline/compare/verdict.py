"""The verdict on a comparison that came to its end."""

from maskbeam.pipeline.compare.compare_files import Found
from maskbeam.pipeline.exit_codes import ExitCode
from maskbeam.pipeline.reports.verdict import allowed_failures


def judge(found: Found) -> ExitCode:
    """The exit code of a comparison; one of nothing is none."""
    failed = sum(found.totals.failed.values())
    if not found.totals.compared + failed:
        return ExitCode.FAILED
    too_many = failed > allowed_failures(found.comparison.max_failures, found.totals.images)
    return ExitCode.TOO_MANY if too_many or found.missed else ExitCode.DONE
