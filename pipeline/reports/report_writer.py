"""Writes the reports into the output: of single images shard by shard, of the run as a whole, `_SUCCESS` last."""

import io
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from maskbeam.pipeline.cli.stored_options import to_stored
from maskbeam.pipeline.exit_codes import ExitCode
from maskbeam.pipeline.job.end_output import check_output
from maskbeam.pipeline.job.job import Job
from maskbeam.pipeline.options import Part
from maskbeam.pipeline.output.leftovers import remove_leftovers
from maskbeam.pipeline.output.parts import write_ended
from maskbeam.pipeline.output.stored_json import parse_stored
from maskbeam.pipeline.output.tree import SUCCESS, overwrite
from maskbeam.pipeline.reports.free_ids import free_ids
from maskbeam.pipeline.reports.report_files import ImageRow, failures_jsonl, images_csv, images_parquet
from maskbeam.pipeline.reports.run_reports import REPORTS, Ended
from maskbeam.pipeline.reports.sample_overlays import draw_samples
from maskbeam.pipeline.reports.scenes_file import scenes_geojson
from maskbeam.pipeline.reports.totals import Resolved, Totals
from maskbeam.pipeline.storage import NotFound
from maskbeam.pipeline.text.json_text import json_text
from maskbeam.transforms.elements import Found
from maskbeam.transforms.errors import Code
from maskbeam.transforms.tiling.work import Work


@dataclass(frozen=True)
class ReportWriter:
    """Writes a job's reports. `started` is in seconds since the epoch."""

    job: Job
    started: float

    def write_shard(self, shard: int, shards: int, buckets: Iterable[Resolved]) -> None:
        """Writes the rows of one shard of the per-image reports; those of a part are the merge's to write.

        Args:
            shard: Its number.
            shards: How many there are.
            buckets: Gone through once for each file: as objects all of them would take much memory.
        """
        if self._part:
            return
        table, names = self.job.table, self.job.names
        # Not joined: that holds every line once more.
        text = io.BytesIO()
        text.writelines(map(str.encode, images_csv(_rows(buckets), table, names=names, on_earth=self.job.is_geotiff)))
        overwrite(self.job.tree, f"reports/{shard_name('images.csv', shard, shards)}", text.getvalue())
        failures = (failure for bucket in buckets for failure in bucket.failed)
        self._write(shard_name("failures.jsonl", shard, shards), failures_jsonl(failures, names=names))
        if self.job.is_geotiff:
            scenes = b"".join(map(str.encode, scenes_geojson(_rows(buckets), table)))
            overwrite(self.job.tree, f"reports/{shard_name('scenes.geojson', shard, shards)}", scenes)
        if self.job.options.output.parquet:
            parquet = images_parquet(_rows(buckets), table, names=names, on_earth=self.job.is_geotiff)
            overwrite(self.job.tree, f"reports/{shard_name('images.parquet', shard, shards)}", parquet)

    def finish(self, totals: Totals, found: Found, work: Work | None = None) -> None:
        """Writes what is said of the run as a whole; `_SUCCESS` last, if it is one.

        Raises:
            RunError: Another run has taken the output over, or the output is not all there.
        """
        tree = self.job.tree
        tree.look()
        if not found.inputs:
            self.write_shard(0, 1, [])
        ended = Ended.of(self.job, totals, found, work)
        if self._part:
            check_output(self.job, totals.done)
            self._write_run(ended, [*ended.warnings, *ended.of_inputs])
            write_ended(tree, self._part, to_stored(self.job.options))
            return
        for name, text in REPORTS:
            self._write(name, text(ended))
        samples = draw_samples(self.job, [outcome for _, outcome in totals.samples])
        if self._may_free(totals):
            free_ids(self.job)
        if self.job.options.output.overwrite:
            remove_leftovers(tree, self.job.paths)
        others = check_output(self.job, totals.done)
        # Tells workers that the run is over, and its lease need not be renewed: so after all that takes time.
        self._write_run(ended, [*ended.warnings, *ended.of_inputs, *samples], others)
        if ended.verdict.code is ExitCode.DONE:
            overwrite(tree, SUCCESS, self._success(ended))

    def _may_free(self, totals: Totals) -> bool:
        unseen = Code.SHARD_UNREAD in totals.failed or self.job.options.read.limit is not None
        return Code.ID_FREED in totals.failed and not unseen

    @property
    def _part(self) -> Part | None:
        return self.job.options.read.part

    def _write(self, name: str, text: str) -> None:
        overwrite(self.job.tree, f"reports/{name}", text.encode())

    def _write_run(self, ended: Ended, warnings: list[str], others: int | None = None) -> None:
        totals, now = ended.totals, time.time()
        run: dict[str, Any] = {
            "run": self.job.run,
            "started": _utc(self.started),
            "ended": _utc(now),
            "seconds": now - self.started,
            **asdict(ended.counts),
            "left_out": dict(ended.found.left_out),
            "written": totals.done - totals.skipped,
            "skipped": totals.skipped,
            "updated": totals.updated,
            "other_masks": others,
            **_told(ended.work),
            "failures": totals.failed,
            "reasons": {code: min(counts) for code, counts in totals.reason_counts.items()},
            "reason_counts": totals.reason_counts,
            "workers": totals.workers,
            "warnings": warnings,
            "statistics": totals.statistics.to_json(),
            "exit_code": ended.verdict.code,
            "too_many": ended.verdict.too_many,
            "refused": ended.verdict.refused,
            "versions": ended.versions,
        }
        overwrite(self.job.tree, f"runs/{self.job.run}.json", (json_text(run, indent=2) + "\n").encode())

    def _success(self, ended: Ended) -> bytes:
        content = {
            **asdict(ended.counts),
            "fingerprint": self.job.tree.fingerprint,
            "settings": self.job.settings,
            "versions": ended.versions,
        }
        return (json_text(content, indent=2) + "\n").encode()


def shard_name(name: str, shard: int, shards: int) -> str:
    """A report's file name: `images.csv`, or `images-00001-of-00003.csv` when there are several."""
    stem, _, extension = name.rpartition(".")
    return name if shards == 1 else f"{stem}-{shard:05d}-of-{shards:05d}.{extension}"


def read_run(job: Job) -> dict[str, Any] | None:
    """The record of a finished run; None when it did not come to its end."""
    try:
        return dict(parse_stored(job.tree.storage.read(job.tree.uri(f"runs/{job.run}.json"))))
    except NotFound:
        return None


def _told(work: Work | None) -> dict[str, int]:
    """The work of a run whose images are cut into windows, by key."""
    if work is None:
        return {}
    return {"windows": work.windows, "windows_without_data": work.empty, "bytes_read": work.bytes}


def _rows(buckets: Iterable[Resolved]) -> Iterator[ImageRow]:
    for outcome in (outcome for bucket in buckets for outcome in bucket.done):
        assert outcome.counted is not None  # noqa: S101 - what is done has been counted
        yield ImageRow(outcome.image_id, outcome.source, outcome.height, outcome.width, outcome.counted, outcome.grid)


def _utc(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
