"""The whole graph. Used by the command line and by the tests alike."""

from functools import partial, reduce
from operator import or_
from typing import Any

import apache_beam as beam

from maskbeam import __version__
from maskbeam.pipeline.guards.decoder import safe_decoder
from maskbeam.pipeline.guards.model_guard import ModelGuard
from maskbeam.pipeline.guards.read_scenes import CutScene, ReadRasters, TileScenes
from maskbeam.pipeline.guards.watched_reads import WatchedReads
from maskbeam.pipeline.inputs.fetch import fetch_content, is_far
from maskbeam.pipeline.inputs.read import List, Read
from maskbeam.pipeline.inputs.scenes import Scenes, rules_of
from maskbeam.pipeline.inputs.small_images import SmallImages
from maskbeam.pipeline.job.job import Job
from maskbeam.pipeline.output.assemble import (
    AssembleAtOnce,
    Gather,
    GatherScenes,
    RemoveBlocks,
    count_block,
    count_no_more,
)
from maskbeam.pipeline.output.blocks import Blocks, SavedBlock
from maskbeam.pipeline.output.failures import RememberFailure
from maskbeam.pipeline.output.geotiff.complete import CompleteScene
from maskbeam.pipeline.output.geotiff.overlay import SceneOverlay
from maskbeam.pipeline.output.geotiff.write_scene import WriteScene
from maskbeam.pipeline.output.look_up import LookUp
from maskbeam.pipeline.output.outcome import Outcome
from maskbeam.pipeline.output.redraw import Redraw
from maskbeam.pipeline.output.write import Completing, SkipDone, Write
from maskbeam.pipeline.process.memory import WithinMemory, WrittenWithinMemory
from maskbeam.pipeline.reports.report import Report
from maskbeam.pipeline.reports.report_writer import ReportWriter
from maskbeam.pipeline.runners.registry import runner_of
from maskbeam.pipeline.workers.check_worker import CheckWorker
from maskbeam.pipeline.workers.count_results import count_failure, count_outcome
from maskbeam.pipeline.workers.heartbeat import Heartbeat
from maskbeam.transforms.argmax import Argmax
from maskbeam.transforms.augment import augmented
from maskbeam.transforms.codecs.decode import Decode
from maskbeam.transforms.elements import EncodedImage, Image, Labels
from maskbeam.transforms.lookahead import LookAhead, Step
from maskbeam.transforms.predict import Loader, Predict
from maskbeam.transforms.products.render import Render, bytes_to_draw
from maskbeam.transforms.resampling.prepare import Prepare
from maskbeam.transforms.tiling.blend import Blend
from maskbeam.transforms.tiling.layout import Tiling
from maskbeam.transforms.tiling.tile import Cutter, Tile


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
    run = {
        "outcomes": (segmented["outcomes"], missing.outcome | "Count skipped" >> beam.Map(count_outcome)),
        "failed": (read.failed, missing.failed, segmented["failed"])
        | "All failures" >> beam.Flatten()
        | "Remember failures" >> beam.Map(RememberFailure(job.tree))
        | "Count failures" >> beam.Map(count_failure, options.output.stop_after_failures),
        "counted": read.counted,
    }
    if "work" in segmented:
        run["work"] = segmented["work"]
    return run | "Report" >> Report(write_shard=writer.write_shard, finish=writer.finish)


class SegmentImages(beam.PTransform[Any, Any]):
    """Images that are to be done -> their `outcomes`, what `failed`, and the `work` on windows.

    All that needs much memory or a GPU is in here, so that resource hints for this one step reach all of it.
    """

    def __init__(self, job: Job, loader: Loader) -> None:
        super().__init__()
        self._job = job
        self._loader = loader

    def expand(self, images: Any) -> Any:
        job = self._job
        if job.is_geotiff and job.cutter and job.tiling:
            return _in_scenes(images, job, self._loader, job.cutter, job.tiling)
        decoded = images | "Decode" >> _decode(job)
        if job.cutter and job.tiling:
            return _in_windows(decoded, job, self._loader, job.cutter, job.tiling)
        predicted = decoded.main | "Predict" >> _predict(job, self._loader)
        written = predicted.main | "Write" >> _write(job, Argmax(job.labeling))
        failed = (decoded.failed, predicted.failed, written.failed) | "Failures" >> beam.Flatten()
        return {"outcomes": written.main, "failed": failed}


def _in_windows(decoded: Any, job: Job, loader: Loader, cutter: Cutter, tiling: Tiling) -> dict[str, Any]:
    """Wires tile -> predict -> blend -> write, and for images of several blocks -> save -> gather -> assemble, write.

    All of an image stays in the bundle that decoded it: its windows, scores and labels cross no shuffle.
    """
    blocks = Blocks(job.tree, job.labeling, tiling)
    computed = _computed(decoded.main | "Tile" >> Tile(cutter, blocks.saved), job, loader, tiling, blocks)
    blocks_of_all = (computed["found"], computed["saved"]) | "Blocks" >> beam.Flatten()
    gathered = blocks_of_all | "Gather" >> Gather()
    remove = RemoveBlocks(blocks)
    put_together = LookAhead(blocks.together, output_type=Labels, tags=("outcome",))
    written = computed["labels"] | "Write" >> _write(job)
    assembled = gathered.main | "Assemble" >> _write(job, put_together, after=(remove, count_no_more))
    found_done = assembled.outcome | "Found" >> beam.Map(count_no_more) | "Count found" >> beam.Map(count_outcome)
    not_assembled = assembled.failed | "Not assembled" >> beam.Map(count_no_more)
    failed = (gathered.failed, not_assembled) | "Failed" >> beam.Flatten() | "Remove blocks" >> beam.Map(remove)
    others = (decoded.failed, computed["failed"], written.failed)
    return {
        "outcomes": (written.main, assembled.main, found_done) | "Outcomes" >> beam.Flatten(),
        "failed": (*others, failed) | "Failures" >> beam.Flatten(),
        "work": computed["work"],
    }


def _in_scenes(images: Any, job: Job, loader: Loader, cutter: Cutter, tiling: Tiling) -> dict[str, Any]:
    """Wires what has a place on the earth: what is one block as in `_in_windows`, and larger scenes by reference.

    Those: cut -> spread -> tile -> predict -> blend -> save -> by scene -> assemble. Spans of a scene are computed
    wherever there is a worker. Pixels, scores and labels cross no shuffle: blocks are files in the output, which is
    all that workers share.
    """
    blocks = Blocks(job.tree, job.labeling, tiling)
    scenes = _scenes(job, tiling)
    cutting = CutScene(blocks, tiling, spread=not runner_of(job.options.beam).is_local)
    read = images | "Read rasters" >> _read(job, scenes)
    whole = _computed(read.main | "Tile" >> Tile(cutter, blocks.saved), job, loader, tiling, blocks)
    blocks_of_all = (whole["found"], whole["saved"]) | "Blocks" >> beam.Flatten()
    gathered = blocks_of_all | "Gather" >> Gather()
    remove, write = RemoveBlocks(blocks), _writer_of_scenes(job, tiling, scenes)

    cut = read.scene | "Cut" >> beam.ParDo(cutting).with_outputs("saved", main="main")
    spread = cut.main | "Spread spans" >> beam.Reshuffle()
    tiled = spread | "Tile scenes" >> TileScenes(cutter, scenes, blocks)
    at_once = AssembleAtOnce(blocks, _within_memory((write, remove, count_no_more, count_outcome)))
    of_scenes = _computed(tiled, job, loader, tiling, blocks, count_block, at_once, of=" of scenes")
    found = (cut.saved, of_scenes["found"]) | "All found" >> beam.Flatten() | "Count blocks" >> beam.Map(count_block)
    by_scene = (found, of_scenes["saved"]) | "All blocks" >> beam.Flatten() | "By scene" >> GatherScenes()

    written = whole["labels"] | "Write" >> _write_scenes(job, write)
    complete = (gathered.main, by_scene.main) | "Complete" >> beam.Flatten()
    assembled = complete | "Assemble" >> _write_scenes(job, write, remove, count_no_more)
    not_assembled = assembled.failed | "Not assembled" >> beam.Map(count_no_more)
    given_up = (gathered.failed, by_scene.failed, not_assembled) | "Given up" >> beam.Flatten()
    gave_up = given_up | "Remove blocks" >> beam.Map(remove)
    return {
        "outcomes": (written.main, assembled.main, by_scene.outcome) | "Outcomes" >> beam.Flatten(),
        "failed": (read.failed, whole["failed"], of_scenes["failed"], written.failed, gave_up)
        | "Failures" >> beam.Flatten(),
        "work": (whole["work"], of_scenes["work"]) | "All work" >> beam.Flatten(),
    }


def _scenes(job: Job, tiling: Tiling) -> Scenes:
    rules, watch = rules_of(job.options), WatchedReads(job.tree)
    return Scenes(rules, job.probe.spec.channels, tiling, job.names, job.aoi, watch)


def _writer_of_scenes(job: Job, tiling: Tiling, scenes: Scenes) -> WriteScene:
    overlay = SceneOverlay(SmallImages(scenes, safe_decoder(job), job.options.read), job.rendering)
    blocks = Blocks(job.tree, job.labeling, tiling)
    return WriteScene(job.tree, job.rendering, job.labeling, job.table, blocks, overlay)


def _computed(
    tiled: Any, job: Job, loader: Loader, tiling: Tiling, blocks: Blocks, *after: Step, of: str = ""
) -> dict[str, Any]:
    """Windows -> `labels` of images that are one block, `failed` ones; of others `found` and `saved` blocks.

    Among these is that an image has failed; `after` is done with each block once it is saved.
    """
    predicted = tiled.main | f"Predict{of}" >> _predict(job, loader)
    blended = predicted.main | f"Blend{of}" >> Blend(tiling, job.labeling)
    save = LookAhead(blocks.save, *after, output_type=SavedBlock, waits=job.writes_far)
    saved = blended.block | f"Save blocks{of}" >> save
    failed = (tiled.failed, predicted.failed, blended.failed, saved.failed)
    return {
        "labels": blended.main,
        "found": tiled.saved,
        "saved": saved.main,
        "failed": failed | f"Failed alone{of}" >> beam.Flatten(),
        "work": (tiled.work, blended.work) | f"Work{of}" >> beam.Flatten(),
    }


def _read(job: Job, scenes: Scenes) -> LookAhead:
    pictures = _decode(job)
    read = ReadRasters(scenes, pictures.steps)
    return LookAhead(read, output_type=Image, tags=("scene",), waits=is_far)


def _write_scenes(job: Job, write: WriteScene, *after: Step) -> LookAhead:
    steps = LookAhead(write, *after, count_outcome, output_type=Outcome, waits=job.writes_far)
    return steps.within(_within_memory)


def _within_memory(steps: tuple[Step, ...]) -> Step:
    return WrittenWithinMemory(steps, each=1)


def _predict(job: Job, loader: Loader) -> Predict:
    views = augmented(loader, job.options.tile.tta, job.probe.head.kind)
    return Predict(views, guard=ModelGuard(job.tree))


def skip_done(job: Job) -> SkipDone:
    """The look-ahead that asks of each image what is known before anything of it is decoded."""
    complete: Completing = Redraw(job.tree, job.rendering, job.labeling.has_planes, safe_decoder(job))
    if job.is_geotiff and job.tiling:
        scenes = _scenes(job, job.tiling)
        write = _writer_of_scenes(job, job.tiling, scenes)
        complete = CompleteScene(job.tree, job.rendering, job.labeling, scenes, write)
    return SkipDone(job.tree, job.options.output.retry_failed, complete)


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
    decode = fetch | Decode(safe_decoder(job))
    steps: LookAhead = decode if job.cutter else decode | Prepare(job.probe.spec, keep_image=job.keeps_images)
    return steps.within(WithinMemory)


def _write(job: Job, *before: LookAhead, after: tuple[Step, ...] = ()) -> LookAhead:
    """Labels to files; `before` makes the labels, and `after` is done once the mask stands."""
    render = Render(job.rendering, text=job.tree.text)
    write_files = Write(job.tree, job.rendering, job.table.ids)
    write = LookAhead(write_files, *after, count_outcome, output_type=Outcome, waits=job.writes_far)
    planes = len(job.table.ids) if job.labeling.has_planes else 0
    each = bytes_to_draw(job.rendering.products, planes=planes)
    return reduce(or_, (*before, render, write)).within(partial(WrittenWithinMemory, each=each))
