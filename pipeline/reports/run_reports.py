"""Reports of a run as a whole: a new one is a line in `REPORTS`, and its name in `pipeline/output/ours.py`."""

from collections.abc import Callable
from dataclasses import dataclass

from maskbeam import __version__
from maskbeam.pipeline.job.job import Job
from maskbeam.pipeline.reports.input_warnings import input_warnings, left_out_warnings
from maskbeam.pipeline.reports.raster_warnings import raster_warnings
from maskbeam.pipeline.reports.report_files import classes_csv
from maskbeam.pipeline.reports.summary_file import InputCounts, summary
from maskbeam.pipeline.reports.totals import Totals
from maskbeam.pipeline.reports.verdict import RunVerdict, judge_run
from maskbeam.pipeline.text.json_text import json_text
from maskbeam.transforms.elements import Found
from maskbeam.transforms.head import BINARY
from maskbeam.transforms.measures.registry import reported
from maskbeam.transforms.measures.warnings import find_warnings
from maskbeam.transforms.tiling.work import Work


@dataclass(frozen=True)
class Ended:
    """All that is known of a run when its images are through.

    Attributes:
        job: The job.
        totals: Sums over its images.
        found: What was found to do.
        counts: What became of the inputs.
        warnings: What looks wrong about the predictions.
        of_inputs: What is to be known of the inputs.
        verdict: Whether the run is a success.
        work: The windows of images that are cut into such; None where none are.
    """

    job: Job
    totals: Totals
    found: Found
    counts: InputCounts
    warnings: tuple[str, ...]
    of_inputs: tuple[str, ...]
    verdict: RunVerdict
    work: Work | None = None

    @classmethod
    def of(cls, job: Job, totals: Totals, found: Found, work: Work | None = None) -> "Ended":
        """Judges a run."""
        counts = InputCounts(found.inputs, totals.done, sum(totals.failed.values()), totals.duplicates)
        choices = 2 if job.probe.head.kind in BINARY else None
        warnings = find_warnings(job.table, totals.statistics, choices=choices)
        verdict = judge_run(
            counts,
            warnings,
            failures=totals.failed,
            max_failures=job.options.output.max_failures,
            fail_on_degenerate=job.options.output.fail_on_degenerate,
        )
        of_images = input_warnings(totals.statistics, job.options.decode)
        of_rasters = raster_warnings(totals.statistics)
        of_inputs = (*job.probe.warnings, *left_out_warnings(found), *of_images, *of_rasters)
        return cls(job, totals, found, counts, tuple(warnings), of_inputs, verdict, work)

    @property
    def versions(self) -> dict[str, str]:
        """Of this package and of what else decides about pixels."""
        return {"maskbeam": __version__, **dict(self.job.probe.versions)}


def _classes(ended: Ended) -> str:
    return classes_csv(ended.job.table, ended.totals.statistics, reported(on_earth=ended.job.is_geotiff))


def _summary(ended: Ended) -> str:
    job = ended.job
    content = summary(
        versions=ended.versions,
        options=job.settings,
        model={"sha256": job.probe.digest, "evidence": list(job.probe.evidence)},
        counts=ended.counts,
        left_out=ended.found.left_out,
        failures=ended.totals.failed,
        table=job.table,
        sums=ended.totals.statistics,
        warnings=ended.warnings,
        input_warnings=ended.of_inputs,
        on_earth=job.is_geotiff,
    )
    return json_text(content, indent=2) + "\n"


#: Files below `reports/`, and what makes their text.
REPORTS: tuple[tuple[str, Callable[[Ended], str]], ...] = (
    ("classes.csv", _classes),
    ("summary.json", _summary),
)
