"""The whole graph. Used by the command line and by the tests alike."""

from functools import partial
from typing import Any

import apache_beam as beam

from pipeline.check_worker import CheckWorker, maskbeam_version
from pipeline.heartbeat import Heartbeat
from pipeline.inputs.read import List, Read
from pipeline.job import Job
from pipeline.memory import WithinMemory, WrittenWithinMemory
from pipeline.model_guard import ModelGuard
from pipeline.output.failures import RememberFailure
from pipeline.output.look_up import LookUp
from pipeline.output.outcome import Outcome
from pipeline.output.redraw import Redraw
from pipeline.output.write import SkipDone, Write, fetch_content, is_far
from pipeline.reports.progress_counting import count_failure, count_outcome
from pipeline.reports.report import Report
from pipeline.reports.report_writer import ReportWriter
from pipeline.safe_decoder import safe_decoder
from transforms.argmax import label_map
from transforms.elements import EncodedImage, ModelInput
from transforms.lookahead import LookAhead
from transforms.predict import Loader, Predict
from transforms.prepare import prepare
from transforms.render import bytes_to_draw


def segment(root: beam.Pipeline, *, job: Job, loader: Loader, writer: ReportWriter) -> Any:
    """Wires list -> read -> decode -> predict -> label -> write -> report.

    Everything from `Read` to `Write` is one fused stage; only chunks of names cross a shuffle before it, and only
    outcomes and failures after it.

    Args:
        root: The pipeline.
        job: What was resolved before work started.
        loader: Makes the engine, once a process, when the first image needs it.
        writer: Writes the job's reports.

    Returns:
        The run's `Totals`, one element.
    """
    options = job.options
    read = (
        root
        | "Patterns" >> beam.Create(options.read.patterns)
        | "List" >> List(options.read)
        | "Read" >> Read(options.read, names=job.names)
    )
    missing = read.main | "Look up" >> LookUp(job.tree) | "Skip done" >> _skip_done(job)
    decoded = missing.main | "Decode" >> _decode(job)
    predicted = decoded.main | "Predict" >> Predict(loader, guard=ModelGuard(job.tree))
    written = predicted.main | "Write" >> _write(job)
    return {
        "outcomes": (written.main, missing.outcome | "Count skipped" >> beam.Map(count_outcome)),
        "failed": (read.failed, missing.failed, decoded.failed, predicted.failed, written.failed)
        | "All failures" >> beam.Flatten()
        | "Remember failures" >> beam.Map(RememberFailure(job.tree))
        | "Count failures" >> beam.Map(count_failure, options.output.stop_after_failures),
        "counted": read.counted,
    } | "Report" >> Report(ids=job.table.ids, write_shard=writer.write_shard, finish=writer.finish)


def skip_done(job: Job) -> SkipDone:
    """What is asked of each image before anything of it is decoded."""
    redraw = Redraw(job.tree, job.rendering, job.labeling.has_planes, safe_decoder(job))
    return SkipDone(job.tree, job.options.output.retry_failed, redraw)


def _skip_done(job: Job) -> LookAhead:
    return LookAhead(
        CheckWorker(job.tree, maskbeam_version()),
        Heartbeat.of(job),
        skip_done(job),
        output_type=EncodedImage,
        tags=("outcome",),
        group=8,
        waits=job.writes_far,
    )


def _decode(job: Job) -> LookAhead:
    fit = partial(prepare, spec=job.probe.spec, keep_image="overlay" in job.rendering.products)
    fetched = partial(fetch_content, names=job.names)
    steps = WithinMemory((fetched, safe_decoder(job), fit))
    return LookAhead(steps, output_type=ModelInput, waits=is_far)


def _write(job: Job) -> LookAhead:
    label = partial(label_map, labeling=job.labeling)
    write = Write(job.tree, job.rendering, job.table.ids)
    classes = len(job.table.ids) if job.labeling.has_planes else 0
    steps = WrittenWithinMemory((label, write, count_outcome), bytes_to_draw(job.rendering.products, planes=classes))
    return LookAhead(steps, output_type=Outcome, waits=job.writes_far)
