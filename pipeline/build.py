"""The whole graph. Used by the command line and by the tests alike."""

from functools import partial
from typing import Any

import apache_beam as beam

from maskbeam import __version__
from maskbeam.pipeline.guards.decoder import safe_decoder
from maskbeam.pipeline.guards.model_guard import ModelGuard
from maskbeam.pipeline.inputs.fetch import fetch_content, is_far
from maskbeam.pipeline.inputs.read import List, Read
from maskbeam.pipeline.job.job import Job
from maskbeam.pipeline.output.failures import RememberFailure
from maskbeam.pipeline.output.look_up import LookUp
from maskbeam.pipeline.output.outcome import Outcome
from maskbeam.pipeline.output.redraw import Redraw
from maskbeam.pipeline.output.write import SkipDone, Write
from maskbeam.pipeline.process.memory import WithinMemory, WrittenWithinMemory
from maskbeam.pipeline.reports.report import Report
from maskbeam.pipeline.reports.report_writer import ReportWriter
from maskbeam.pipeline.workers.check_worker import CheckWorker
from maskbeam.pipeline.workers.count_results import count_failure, count_outcome
from maskbeam.pipeline.workers.heartbeat import Heartbeat
from maskbeam.transforms.argmax import Argmax
from maskbeam.transforms.codecs.decode import Decode
from maskbeam.transforms.elements import EncodedImage
from maskbeam.transforms.lookahead import LookAhead
from maskbeam.transforms.predict import Loader, Predict
from maskbeam.transforms.products.render import Render, bytes_to_draw
from maskbeam.transforms.resampling.prepare import Prepare


def segment(root: beam.Pipeline, *, job: Job, loader: Loader, writer: ReportWriter) -> Any:
    """Wires list -> read -> decode -> prepare -> predict -> argmax -> render -> write -> report.

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
    segmented = missing.main | "Segment images" >> SegmentImages(job, loader)
    return {
        "outcomes": (segmented["outcomes"], missing.outcome | "Count skipped" >> beam.Map(count_outcome)),
        "failed": (read.failed, missing.failed, segmented["failed"])
        | "All failures" >> beam.Flatten()
        | "Remember failures" >> beam.Map(RememberFailure(job.tree))
        | "Count failures" >> beam.Map(count_failure, options.output.stop_after_failures),
        "counted": read.counted,
    } | "Report" >> Report(write_shard=writer.write_shard, finish=writer.finish)


class SegmentImages(beam.PTransform[Any, Any]):
    """Images that are to be done -> their `outcomes`, and what `failed`.

    All that needs much memory or a GPU is in here, so that resource hints for this one step reach all of it.
    """

    def __init__(self, job: Job, loader: Loader) -> None:
        super().__init__()
        self._job = job
        self._loader = loader

    def expand(self, images: Any) -> Any:
        decoded = images | "Decode" >> _decode(self._job)
        predicted = decoded.main | "Predict" >> Predict(self._loader, guard=ModelGuard(self._job.tree))
        written = predicted.main | "Write" >> _write(self._job)
        failed = (decoded.failed, predicted.failed, written.failed) | "Failures" >> beam.Flatten()
        return {"outcomes": written.main, "failed": failed}


def skip_done(job: Job) -> SkipDone:
    """What is asked of each image before anything of it is decoded."""
    redraw = Redraw(job.tree, job.rendering, job.labeling.has_planes, safe_decoder(job))
    return SkipDone(job.tree, job.options.output.retry_failed, redraw)


def _skip_done(job: Job) -> LookAhead:
    return LookAhead(
        CheckWorker(job.tree, __version__),
        Heartbeat.of(job),
        skip_done(job),
        output_type=EncodedImage,
        tags=("outcome",),
        group=8,
        waits=job.writes_far,
    )


def _decode(job: Job) -> LookAhead:
    fetch = LookAhead(partial(fetch_content, names=job.names), output_type=EncodedImage, waits=is_far)
    prepare = Prepare(job.probe.spec, keep_image=job.keeps_images)
    steps: LookAhead = fetch | Decode(safe_decoder(job)) | prepare
    return steps.within(WithinMemory)


def _write(job: Job) -> LookAhead:
    render = Render(job.rendering, text=job.tree.text)
    steps = Write(job.tree, job.rendering, job.table.ids), count_outcome
    write = LookAhead(*steps, output_type=Outcome, waits=job.writes_far)
    planes = len(job.table.ids) if job.labeling.has_planes else 0
    each = bytes_to_draw(job.rendering.products, planes=planes)
    return (Argmax(job.labeling) | render | write).within(partial(WrittenWithinMemory, each=each))
